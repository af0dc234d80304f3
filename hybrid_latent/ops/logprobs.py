"""Log-probabilities and entropies of tokens without holding [b t v]."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hybrid_latent.types import PyTree


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


def over_chunks(
  f: Callable[[PyTree], PyTree], tree: PyTree, chunk: int
) -> PyTree:
  """f of a tree with leaves [b t ...], `chunk` positions of t at a time.

  Whatever f makes on its way is made again in the backward pass, so that the
  logits of at most `chunk` positions exist at a time.
  """
  b, t = jax.tree.leaves(tree)[0].shape[:2]
  chunk = min(chunk, t)
  chunks = -(-t // chunk)

  def split(x):
    padding = ((0, 0), (0, chunks * chunk - t), *((0, 0),) * (x.ndim - 2))
    x = jnp.pad(x, padding).reshape(b, chunks, chunk, *x.shape[2:])
    return jnp.moveaxis(x, 1, 0)

  def join(x):
    return jnp.moveaxis(x, 0, 1).reshape(b, chunks * chunk, *x.shape[3:])[:, :t]

  parts = jax.lax.map(jax.checkpoint(f), jax.tree.map(split, tree))
  return jax.tree.map(join, parts)
