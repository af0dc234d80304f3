"""Log-probs and entropies of tokens without storing [b t v]."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hybrid_latent.types import PyTree


class TokenScores(NamedTuple):
  """Scores of each position, from one pass over the vocabulary."""

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

  Intermediates of f are recomputed in the backward pass, so that the logits of
  at most `chunk` positions exist at a time. A chunk's positions are strided, so
  that each chunk has a share of every device's positions.
  """
  t = jax.tree.leaves(tree)[0].shape[1]
  chunks = -(-t // chunk)
  chunk = -(-t // chunks)  # equal chunks: less padding

  def split(x):
    padding = ((0, 0), (0, chunks * chunk - t), *((0, 0),) * (x.ndim - 2))
    x = jnp.pad(x, padding).reshape(-1, chunk, chunks, *x.shape[2:])
    return jnp.moveaxis(x, 2, 0)

  def join(x):
    x = jnp.moveaxis(x, 0, 2)
    return x.reshape(-1, chunks * chunk, *x.shape[3:])[:, :t]

  parts = jax.lax.map(jax.checkpoint(f), jax.tree.map(split, tree))
  return jax.tree.map(join, parts)
