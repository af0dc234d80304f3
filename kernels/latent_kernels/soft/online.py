"""Online softmax over chunks of a vocabulary, mixing a table's rows.

The state holds sums of w = exp(z - peak), not yet normalised. A new chunk may
raise the peak: the old sums are then scaled by exp(old peak - new peak). The
XLA form has one chunk, the training form a scan over chunks, and the TPU kernel
a grid over chunks. Milakov and Gimelshein, arXiv 1805.02867.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from latent_kernels.soft.definition import SoftEmbedding


class OnlineSoftmax(NamedTuple):
  """Sums over the tokens so far, one row per distribution."""

  mixture: Float[Array, 'n d']  # sum of w * table
  peak: Float[Array, 'n 1']  # the largest z, or the lowest finite number
  total: Float[Array, 'n 1']  # sum of w
  squares: Float[Array, 'n 1']  # sum of w**2


def empty(rows: Float[Array, 'n _'], d: int, dtype: DTypeLike) -> OnlineSoftmax:
  """The state before any token, one per row of `rows` and sharded like them.

  The peak is finite, so that chunks of only -inf keep w = 0.
  """
  n = rows.shape[0]
  zero = jnp.zeros_like(rows, dtype, shape=(n, 1))
  return OnlineSoftmax(
    mixture=jnp.zeros_like(rows, dtype, shape=(n, d)),
    peak=jnp.full_like(zero, jnp.finfo(dtype).min),
    total=zero,
    squares=zero,
  )


def absorb(
  state: OnlineSoftmax, z: Float[Array, 'n c'], table: Float[Array, 'c d']
) -> OnlineSoftmax:
  """The state after a chunk of scaled logits z.

  The matmul runs in the table's dtype, w <= 1 rounded to it, and accumulates in
  the state's.
  """
  peak = jnp.maximum(state.peak, jnp.max(z, axis=-1, keepdims=True))
  shrink = jnp.exp(state.peak - peak)
  w = jnp.exp(z - peak)
  rows = jnp.dot(
    w.astype(table.dtype), table, preferred_element_type=state.mixture.dtype
  )
  return OnlineSoftmax(
    mixture=state.mixture * shrink + rows,
    peak=peak,
    total=state.total * shrink + jnp.sum(w, axis=-1, keepdims=True),
    squares=state.squares * shrink**2 + jnp.sum(w**2, axis=-1, keepdims=True),
  )


def normalised(state: OnlineSoftmax) -> SoftEmbedding:
  """The soft embedding [n ...]; NaN for a row of only -inf."""
  return SoftEmbedding(
    mixture=state.mixture / state.total,
    log_sum_exp=(state.peak + jnp.log(state.total))[:, 0],
    l2=(jnp.sqrt(state.squares) / state.total)[:, 0],
  )


def chunk_indices(vocab: int, chunk: int) -> Int[Array, 'n']:
  """Indices of the chunks that cover a vocabulary."""
  return jnp.arange(-(-vocab // chunk))


def chunk_start(
  index: Int[Array, ''], chunk: int, vocab: int
) -> tuple[Int[Array, ''], Bool[Array, 'c']]:
  """The start of a chunk, and the mask of its tokens that no earlier chunk has.

  The last chunk is moved back to end with the vocabulary, which avoids a padded
  copy of the table; tokens that it shares with the one before get p = 0, and so
  a zero gradient.
  """
  start = jnp.minimum(index * chunk, vocab - chunk)
  return start, start + jnp.arange(chunk) >= index * chunk


def chunk_rows(
  table: Float[Array, 'v d'], start: Int[Array, ''], chunk: int
) -> Float[Array, 'c d']:
  """The table's rows of a chunk."""
  return jax.lax.dynamic_slice_in_dim(table, start, chunk)
