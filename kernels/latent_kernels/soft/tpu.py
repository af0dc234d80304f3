"""The soft embedding on a TPU, of logits or of hidden states with their logits:
one pass over the table with an online softmax.

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
DTYPES = jnp.float32, jnp.bfloat16

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
  rows, columns = _blocks(z.shape[0], 0, table, block_rows, block_vocab)
  state = _over_table(
    _mix,
    (z, table),
    [
      pl.BlockSpec((rows, columns), lambda i, j: (i, j)),
      pl.BlockSpec((columns, table.shape[1]), lambda i, j: (j, 0)),
    ],
    _state(z, table, rows, z.dtype),
    interpret,
  )
  return normalised(OnlineSoftmax(*state))


def pallas_from_hidden(
  hidden: Float[Array, 'n d'],
  table: Float[Array, 'v d'],
  temperature: Float[Array, ''],
  *,
  block_rows: int | None = None,
  block_vocab: int | None = None,
  interpret: bool = False,
) -> tuple[Float[Array, 'n v'], SoftEmbedding]:
  """The logits hidden @ table.T, and the soft embedding of them divided by the
  temperature, float32: a block of the table is read once for both."""
  (n, d), vocab = hidden.shape, table.shape[0]
  row_bytes = hidden.dtype.itemsize * d
  rows, columns = _blocks(n, row_bytes, table, block_rows, block_vocab)
  like = functools.partial(jnp.zeros_like, dtype=jnp.float32, shape=(n, vocab))
  logits = jax.eval_shape(like, hidden)
  at = pl.BlockSpec((rows, columns), lambda i, j: (i, j))
  logits, *state = _over_table(
    _unembed_and_mix,
    (temperature.reshape(1, 1), hidden, table),
    [
      pl.BlockSpec(memory_space=pltpu.SMEM),
      pl.BlockSpec((rows, d), lambda i, j: (i, 0)),
      pl.BlockSpec((columns, d), lambda i, j: (j, 0)),
    ],
    [(logits, at), *_state(hidden, table, rows, jnp.float32)],
    interpret,
  )
  return logits, normalised(OnlineSoftmax(*state))


def is_supported(rows: Float[Array, 'n _'], table: Float[Array, 'v d']) -> bool:
  """Whether the kernels have the dtype, a block of the table fits VMEM, and the
  number of rows is known, which it may not be in an exported program."""
  return (
    isinstance(rows.shape[0], int)
    and rows.dtype in DTYPES
    and table.dtype in DTYPES
    and LANES * table.shape[1] * table.dtype.itemsize <= 2 * BLOCK_BYTES
  )


def _blocks(n, row_bytes, table, rows, columns):
  """Rows of a block, and tokens of one, by default what fits VMEM; a row has
  `row_bytes` beside its state."""
  vocab, d = table.shape
  rows = rows or _largest_block(row_bytes + 4 * d, 8, 256)
  columns = columns or _largest_block(table.dtype.itemsize * d, LANES, 2048)
  return min(n, rows), min(vocab, columns)


def _state(inputs, table, rows, dtype):
  """Shapes and blocks of the online softmax."""
  f = lambda x: empty(x, table.shape[1], dtype)
  at = lambda x: pl.BlockSpec((rows, x.shape[1]), lambda i, j: (i, 0))
  return [(x, at(x)) for x in jax.eval_shape(f, inputs)]


def _over_table(body, inputs, in_specs, outputs, interpret):
  """The outputs of the kernel: the grid is that of the last input's rows within
  those of the last output's."""
  out_shape, out_specs = zip(*outputs, strict=True)
  vocab, (columns, _) = inputs[-1].shape[0], in_specs[-1].block_shape
  n, (rows, _) = out_shape[-1].shape[0], out_specs[-1].block_shape
  return pl.pallas_call(
    functools.partial(body, vocab=vocab),
    grid=(pl.cdiv(n, rows), pl.cdiv(vocab, columns)),
    in_specs=in_specs,
    out_specs=out_specs,
    out_shape=out_shape,
    compiler_params=pltpu.CompilerParams(
      dimension_semantics=('parallel', 'arbitrary')
    ),
    interpret=interpret,
    name='soft_embedding',
  )(*inputs)


def _mix(z_ref, table_ref, *state_refs, vocab):
  refs = _started(z_ref, state_refs)
  _absorb_block(z_ref[...], table_ref[...], refs, vocab)


def _unembed_and_mix(
  temperature_ref, hidden_ref, table_ref, logits_ref, *state_refs, vocab
):
  refs = _started(hidden_ref, state_refs)
  table = table_ref[...]
  logits = jax.lax.dot_general(
    hidden_ref[...],
    table,
    (((1,), (1,)), ((), ())),
    preferred_element_type=jnp.float32,
  )
  logits_ref[...] = logits
  _absorb_block(logits / temperature_ref[0, 0], table, refs, vocab)


def _started(rows_ref, state_refs):
  """The state's references, empty before the first block of the table."""
  refs = OnlineSoftmax(*state_refs)

  @pl.when(pl.program_id(1) == 0)
  def _():
    mixture = refs.mixture
    _store(refs, empty(rows_ref[...], mixture.shape[1], mixture.dtype))

  return refs


def _absorb_block(z, table, refs, vocab):
  columns = z.shape[1]
  if vocab % columns:  # values past the table's end are undefined, maybe NaN
    left = vocab - pl.program_id(1) * columns
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
