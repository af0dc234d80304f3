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
  logits of at most `chunk` positions exist at a time. These lie far apart: each
  chunk then holds a share of every device's positions.
  """
  t = jax.tree.leaves(tree)[0].shape[1]
  chunks = -(-t // chunk)
  chunk = -(-t // chunks)

  def split(x):
    padding = ((0, 0), (0, chunks * chunk - t), *((0, 0),) * (x.ndim - 2))
    x = jnp.pad(x, padding).reshape(-1, chunk, chunks, *x.shape[2:])
    return jnp.moveaxis(x, 2, 0)

  def join(x):
    return jnp.moveaxis(x, 0, 2).reshape(-1, chunks * chunk, *x.shape[3:])[
      :, :t
    ]

  parts = jax.lax.map(jax.checkpoint(f), jax.tree.map(split, tree))
  return jax.tree.map(join, parts)
