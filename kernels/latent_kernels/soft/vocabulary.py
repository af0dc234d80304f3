"""Attention of hidden states to a tied vocabulary, for decoding: the logits and
their soft embedding from one pass over the table, which is the head as well.

The rows of the table are keys and values: of each chunk the logits and the part
of the mixture are computed while it is close, with the online softmax.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latent_kernels.soft import tpu
from latent_kernels.soft.definition import SoftEmbedding
from latent_kernels.soft.embedding import chosen, one_chip
from latent_kernels.soft.embedding import xla as soft_embedding_of
from latent_kernels.soft.online import (
  absorb,
  chunk_indices,
  chunk_rows,
  chunk_start,
  empty,
  normalised,
)
from latent_kernels.soft.varying import alike

_CHUNK = 2048  # tokens: of 512 to 4,096 the fastest on a CPU, width 576

Result = tuple[Float[Array, 'n v'], SoftEmbedding]


def vocabulary_attention(
  hidden: Float[Array, '*b d'],
  table: Float[Array, 'v d'],
  temperature: Float[Array, ''] | float = 1.0,
  *,
  implementation: str | None = None,
) -> tuple[Float[Array, '*b v'], SoftEmbedding]:
  """Logits = hidden @ table.T, and their `soft_embedding` in the table.

  Args:
    hidden: [*b d], the model's last hidden states, few rows: the table is read
      once per 256 of them.
    table: [v d], embedding and unembedding, float32 or bfloat16, sharded over
      no axis. The matmuls run in its dtype and accumulate in float32.
    temperature: positive scalar, may be traced: of the soft embedding alone.
    implementation: 'reference', two products; 'xla', a scan over chunks;
      'pallas', the same on a TPU; 'pallas_interpret', that on any device,
      slowly. None: 'pallas' in a program for one TPU chip, 'xla' on a CPU, else
      'reference'.

  Returns:
    logits [*b v] and SoftEmbedding(mixture [*b d], log_sum_exp [*b], l2 [*b]),
    float32. Only 'reference' has gradients.

  Raises:
    ValueError: for shapes that do not match or a name that does not exist.
  """
  if (
    table.ndim != 2
    or hidden.shape[-1:] != table.shape[1:]
    or jnp.ndim(temperature)
  ):
    raise ValueError(
      f'vocabulary_attention: hidden {hidden.shape}, table {table.shape} and'
      f' temperature {jnp.shape(temperature)} do not match; expected hidden'
      ' [..., d], table [v, d] and a scalar temperature.'
    )
  temperature = jnp.asarray(temperature, jnp.float32)
  rows = hidden.reshape(-1, hidden.shape[-1]).astype(table.dtype)
  default = _with_kernel if one_chip(rows, table) else _by_platform
  form = chosen('vocabulary_attention', IMPLEMENTATIONS, implementation)
  logits, soft = (form or default)(*alike(rows, table, temperature))
  out = logits, *soft
  batch = hidden.shape[:-1]
  logits, *soft = (x.reshape(*batch, *x.shape[1:]) for x in out)
  return logits, SoftEmbedding(*soft)


def reference(
  hidden: Float[Array, 'n d'],
  table: Float[Array, 'v d'],
  temperature: Float[Array, ''],
) -> Result:
  """Two products, each of which reads the table."""
  logits = jnp.dot(hidden, table.T, preferred_element_type=jnp.float32)
  return logits, soft_embedding_of(logits / temperature, table)


def xla(
  hidden: Float[Array, 'n d'],
  table: Float[Array, 'v d'],
  temperature: Float[Array, ''],
) -> Result:
  """A scan over chunks of the table that a cache holds."""
  (vocab, d), n = table.shape, hidden.shape[0]
  chunk = min(_CHUNK, vocab)

  def step(carry, index):
    logits, state = carry
    start, is_new = chunk_start(index, chunk, vocab)
    rows = chunk_rows(table, start, chunk)
    # The weight as left operand, which XLA's CPU reads faster; without the
    # barrier it swaps the operands back.
    scores = jnp.einsum(
      'vd,nd->vn', rows, hidden, preferred_element_type=jnp.float32
    )
    scores = jax.lax.optimization_barrier(scores).T
    logits = jax.lax.dynamic_update_slice_in_dim(logits, scores, start, axis=1)
    z = jnp.where(is_new[None], scores / temperature, -jnp.inf)
    return (logits, absorb(state, z, rows)), None

  logits = jnp.zeros_like(hidden, jnp.float32, shape=(n, vocab))
  carry = logits, empty(hidden, d, jnp.float32)
  (logits, state), _ = jax.lax.scan(step, carry, chunk_indices(vocab, chunk))
  return logits, normalised(state)


_by_platform = functools.partial(
  jax.lax.platform_dependent, cpu=xla, default=reference
)
_with_kernel = functools.partial(
  jax.lax.platform_dependent,
  cpu=xla,
  tpu=tpu.pallas_from_hidden,
  default=reference,
)

IMPLEMENTATIONS = {
  'reference': reference,
  'xla': xla,
  'pallas': tpu.pallas_from_hidden,
  'pallas_interpret': functools.partial(tpu.pallas_from_hidden, interpret=True),
}
