"""Log-probabilities and entropies of tokens without holding [b t v]."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class TokenScores(NamedTuple):
  """What one pass over the vocabulary says of each position."""

  log_probs: Float[Array, '*b']  # of the given token, nats
  entropy: Float[Array, '*b']  # of the whole distribution, nats


def token_scores(
  logits: Float[Array, '*b v'], tokens: Int[Array, '*b']
) -> TokenScores:
  """Scores of `tokens` under softmax(logits), float32; -inf excludes tokens."""
  logits = logits.astype(jnp.float32)
  lse = jax.nn.logsumexp(logits, axis=-1)
  chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
  finite = jnp.where(jnp.isneginf(logits), 0, logits)  # 0 log 0 = 0, not NaN
  mean = jnp.sum(jax.nn.softmax(logits, axis=-1) * finite, axis=-1)
  return TokenScores(chosen - lse, lse - mean)


def chunked_token_scores(
  unembed: Callable[[Array], Array],
  hidden: Float[Array, 'b t d'],
  tokens: Int[Array, 'b t'],
  temperature: Float[Array, ''] | float,
  *,
  chunk: int = 128,
) -> TokenScores:
  """`token_scores(unembed(hidden) / temperature, tokens)`, `chunk` positions
  at a time, forward and backward: the logits of a chunk are made again in its
  backward pass, so that at most [b chunk v] floats exist."""
  b, t = tokens.shape
  chunk = min(chunk, t)
  chunks = -(-t // chunk)

  def split(x):
    padding = ((0, 0), (0, chunks * chunk - t), *((0, 0),) * (x.ndim - 2))
    x = jnp.pad(x, padding).reshape(b, chunks, chunk, *x.shape[2:])
    return jnp.moveaxis(x, 1, 0)

  def join(x):
    return jnp.moveaxis(x, 0, 1).reshape(b, -1)[:, :t]

  @jax.checkpoint
  def scores(part):
    return token_scores(unembed(part[0]) / temperature, part[1])

  parts = jax.lax.map(scores, (split(hidden), split(tokens)))
  return TokenScores(*map(join, parts))
