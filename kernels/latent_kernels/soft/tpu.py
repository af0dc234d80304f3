"""The soft embedding on a TPU: one pass over the table with an online softmax.

The grid runs over blocks of rows, then over blocks of the vocabulary. The
state of the online softmax is the kernel's output: its blocks do not depend on
the vocabulary index, so they stay in VMEM until their rows are complete.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from latent_kernels.soft.definition import SoftEmbedding
from latent_kernels.soft.online import OnlineSoftmax, absorb, empty, normalised

LANES = 128  # width of a TPU vector register; blocks are multiples of it

# Of table, and of state. Each is double-buffered in the 16 MiB of VMEM that a
# kernel has by default.
BLOCK_BYTES = 2 << 20


def pallas(
  z: Float[Array, 'n v'],
  table: Float[Array, 'v d'],
  *,
  block_rows: int | None = None,
  block_vocab: int | None = None,
  interpret: bool = False,
) -> SoftEmbedding:
  """The soft embedding of scaled logits z, float32, in a table.

  Blocks default to what fits VMEM: `block_rows` a multiple of 8 (or n),
  `block_vocab` a multiple of 128 (or v). `interpret` runs on any device, but
  inside `jax.shard_map` only with check_vma=False.
  """
  (n, vocab), d = z.shape, table.shape[1]
  rows = min(n, block_rows or _largest_block(4 * d, 8, 256))
  row_bytes = table.dtype.itemsize * d
  columns = min(vocab, block_vocab or _largest_block(row_bytes, LANES, 2048))
  shapes = jax.eval_shape(lambda z: empty(z, d, z.dtype), z)

  def state_block(x):
    return pl.BlockSpec((rows, x.shape[1]), lambda i, j: (i, 0))

  state = pl.pallas_call(
    functools.partial(_absorb_block, vocab=vocab),
    grid=(pl.cdiv(n, rows), pl.cdiv(vocab, columns)),
    in_specs=[
      pl.BlockSpec((rows, columns), lambda i, j: (i, j)),
      pl.BlockSpec((columns, d), lambda i, j: (j, 0)),
    ],
    out_specs=jax.tree.map(state_block, shapes),
    out_shape=shapes,
    compiler_params=pltpu.CompilerParams(
      dimension_semantics=('parallel', 'arbitrary')
    ),
    interpret=interpret,
    name='soft_embedding',
  )(z, table)
  return normalised(state)


def is_supported(z: Float[Array, 'n v'], table: Float[Array, 'v d']) -> bool:
  """Whether the kernel has these dtypes and a block of the table fits VMEM."""
  return (
    z.dtype == jnp.float32
    and table.dtype in (jnp.float32, jnp.bfloat16)
    and LANES * table.shape[1] * table.dtype.itemsize <= 2 * BLOCK_BYTES
  )


def _absorb_block(z_ref, table_ref, *state_refs, vocab):
  refs = OnlineSoftmax(*state_refs)
  block = pl.program_id(1)

  @pl.when(block == 0)
  def _():
    _store(refs, empty(z_ref[...], table_ref.shape[1], z_ref.dtype))

  z, table = z_ref[...], table_ref[...]
  columns = z.shape[1]
  if vocab % columns:  # values past the table's end are undefined, maybe NaN
    left = vocab - block * columns
    z = jnp.where(_index(z, axis=1) < left, z, -jnp.inf)
    table = jnp.where(_index(table, axis=0) < left, table, 0)
  state = OnlineSoftmax(*(ref[...] for ref in refs))
  _store(refs, absorb(state, z, table))


def _store(refs, state):
  for ref, value in zip(refs, state, strict=True):
    ref[...] = value


def _index(x, axis):
  return jax.lax.broadcasted_iota(jnp.int32, x.shape, axis)


def _largest_block(row_bytes, multiple, at_most):
  rows = BLOCK_BYTES // row_bytes // multiple * multiple
  return min(max(rows, multiple), at_most)
