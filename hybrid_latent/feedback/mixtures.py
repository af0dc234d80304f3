"""Latents that are the weighted mean embedding of a few drawn tokens.

Recorded are the tokens and their weights, not the embedding: the input is
recomputed from them exactly, with gradient through the embedding as for a word.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from hybrid_latent.types import FeedbackOutput, LanguageModel, StepOut


class Mixture(NamedTuple):
  """Tokens, some of them perhaps twice, and their weights."""

  ids: Int[Array, '*b k']
  weights: Float[Array, '*b k']  # sum to 1

  def embed(self, model: LanguageModel) -> Float[Array, '*b d']:
    """Their mean embedding, in the embedding's dtype."""
    x = model.embed(self.ids)
    mean = jnp.einsum('...k,...kd->...d', self.weights, x.astype(jnp.float32))
    return mean.astype(x.dtype)


def no_mixture(batch: int, width: int) -> Mixture:
  """The state before the first step of a feedback whose state is the last
  mixture."""
  return Mixture(
    jnp.zeros((batch, width), jnp.int32), jnp.zeros((batch, width))
  )


def mixture_output(
  model: LanguageModel, mixture: Mixture, out: StepOut, record: dict[str, Any]
) -> FeedbackOutput:
  """The mixture while the thinking continues, else the token's embedding."""
  fed = out.thinking_continues
  x = mixture_inputs(model, mixture, fed, out.token)
  record = {'fed': fed, **record}
  return FeedbackOutput(x, record, fed.astype(jnp.float32), mixture)


def mixture_inputs(
  model: LanguageModel,
  mixture: Mixture,
  fed: Bool[Array, '*b'],
  tokens: Int[Array, '*b'],
) -> Float[Array, '*b d']:
  """The inputs of `mixture_output`."""
  return jnp.where(fed[..., None], mixture.embed(model), model.embed(tokens))


def mixture_logits(
  model: LanguageModel, state: Mixture, out: StepOut
) -> Float[Array, 'b v']:
  """`Feedback.mixture_logits` of a feedback whose state is the last mixture."""
  rows = jnp.arange(len(state.ids))[:, None]
  shares = jnp.zeros(out.logits.shape).at[rows, state.ids].add(state.weights)
  return jnp.log(shares)


def gumbel_noise_of_token(
  keys: Key[Array, 'b'], out: StepOut
) -> Float[Array, 'b v']:
  """Gumbel noise, given that the token has the largest sum of log-prob and
  noise among those that the filters keep; 0 on the others."""
  draw = lambda key: jax.random.gumbel(key, out.filtered.shape[1:])
  log_p, noise = jax.nn.log_softmax(out.filtered, axis=-1), jax.vmap(draw)(keys)
  is_token = jax.nn.one_hot(out.token, noise.shape[-1], dtype=bool)
  # The largest sum has the distribution of the noise of one token, as the p sum
  # to 1; the others are Gumbel variables below it.
  largest = jnp.take_along_axis(noise, out.token[:, None], axis=-1)
  below = -jnp.logaddexp(-largest, -(log_p + noise))
  noise = jnp.where(is_token, largest, below) - log_p
  return jnp.where(out.filtered > -jnp.inf, noise, 0)
