"""Parts that the feedbacks share: the empty state, log-probs and selection of
the sampled token, a record that is the latent input itself."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from hybrid_latent.ops.prefix import with_prefix
from hybrid_latent.policy import checked_forward, positions_and_mask
from hybrid_latent.types import (
  FeedbackOutput,
  LanguageModel,
  PrefixFn,
  PrefixInputs,
  Prompt,
  PyTree,
  ScoreInputs,
  StepOut,
)

Params = TypeVar('Params')


def stateless(batch: int) -> tuple:
  """The state of a feedback without one."""
  return ()


def token_log_prob(
  model: LanguageModel, inputs: ScoreInputs, record: PyTree
) -> Float[Array, '*b']:
  """The log-prob of a step whose only random choice is its token."""
  return inputs.token_log_probs


def drawn_token(
  model: LanguageModel, state: PyTree, out: StepOut
) -> tuple[Int[Array, 'b'], Bool[Array, 'b']]:
  """The selection of a feedback that forces no token."""
  return out.token, jnp.ones(out.token.shape, bool)


def latent_where(
  chosen: Bool[Array, 'b'],
  latent: Float[Array, 'b d'],
  model: LanguageModel,
  out: StepOut,
  state: PyTree,
) -> FeedbackOutput:
  """The latent where chosen and the token's embedding elsewhere, with the
  record that `recorded_latents` needs."""
  token = model.embed(out.token)
  latent = latent.astype(token.dtype)
  x = jnp.where(chosen[:, None], latent, token)
  # All rows, chosen or not: a record's shape must not depend on values.
  record = {'latent': latent, 'fed': chosen}
  return FeedbackOutput(x, record, chosen.astype(jnp.float32), state)


def recorded_latents(
  model: LanguageModel,
  record: dict[str, Shaped[Array, 'b t ...']],
  tokens: Int[Array, 'b t'],
) -> Float[Array, 'b t d']:
  """The inputs of `latent_where` from its record, the latents as constants."""
  latent = jax.lax.stop_gradient(record['latent'])
  return jnp.where(record['fed'][..., None], latent, model.embed(tokens))


def computed_prefix(
  model: LanguageModel, prefix: PrefixFn, prompt: Prompt
) -> Float[Array, 'u j d']:
  """The latents of each prompt, without a cache."""
  x, p = model.embed(prompt.tokens), prompt.tokens.shape[1]

  def forward(latents):
    ones = jnp.ones(latents.shape[0], bool)
    mask = with_prefix(prompt.mask, ones, latents.shape[1])
    layout = positions_and_mask(model, mask)
    inputs = jnp.concatenate([x, latents], axis=1)
    return checked_forward(model, inputs, None, *layout)[0][:, p:]

  # As in the rollout, where the prompt's states come from the prefill.
  layout = positions_and_mask(model, prompt.mask)
  states = checked_forward(model, x, None, *layout)
  hidden = jax.lax.stop_gradient(states)
  return prefix(model, PrefixInputs(*prompt[:2], hidden[0], forward))


def parameters(model: Any, init: str, kind: type[Params]) -> Params:
  """The feedback's parameters, `Policy.feedback`. ValueError where they are not
  of this kind; `init` is the function that makes them."""
  params = getattr(model, 'feedback', None)
  if not isinstance(params, kind):
    found = '' if params is None else f', but a {type(params).__name__}'
    raise ValueError(
      f'{type(model).__name__} has no parameters of this feedback{found}: pass '
      f'hybrid_latent.Policy(model, {init}(...))'
    )
  return params
