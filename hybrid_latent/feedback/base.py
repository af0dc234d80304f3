"""What the feedbacks share: a state that is empty, a score and a choice that
are the token's, a record that is the latent input itself."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.types import Fed, PyTree, StepOut


def stateless(batch: int) -> tuple:
  """The state of a feedback that remembers nothing."""
  return ()


def token_log_prob(model, logits, record, token_log_probs):
  """The score of a step whose only random choice is its token."""
  return token_log_probs


def drawn_token(model, state, out):
  """The choice of a feedback that forces no token."""
  return out.token, jnp.ones(out.token.shape, bool)


def latent_where(
  chosen: Bool[Array, 'b'],
  latent: Float[Array, 'b d'],
  model,
  out: StepOut,
  state: PyTree,
) -> Fed:
  """Feeds the latent where chosen and the token elsewhere, and records what
  `recorded_latents` needs."""
  token = model.embed(out.token)
  latent = latent.astype(token.dtype)
  x = jnp.where(chosen[:, None], latent, token)
  record = {'latent': latent, 'fed': chosen}
  return Fed(x, record, chosen.astype(jnp.float32), state)


def recorded_latents(model, record, tokens):
  """The inputs of `latent_where` again, the latents as constants."""
  latent = jax.lax.stop_gradient(record['latent'])
  return jnp.where(record['fed'][..., None], latent, model.embed(tokens))


def parameters(model: Any, init: str) -> Any:
  """What the feedback owns: `Policy.feedback`. ValueError where the model has
  none; `init` is the function that makes it."""
  owned = getattr(model, 'feedback', None)
  if owned is None:
    raise ValueError(
      f'{type(model).__name__} has no parameters of this feedback: pass '
      f'hybrid_latent.Policy(model, {init}(...))'
    )
  return owned
