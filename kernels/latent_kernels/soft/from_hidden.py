"""The soft embedding of hidden states, for training: logits in chunks only.

The vocabulary is split into chunks. The forward pass runs the online softmax
over them; the backward pass recomputes each chunk's logits from the hidden
states and log-sum-exp. Only a few [tokens, chunk] arrays exist at a time.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latent_kernels.soft.definition import SoftEmbedding, scaled_logits_gradient
from latent_kernels.soft.online import (
  absorb,
  chunk_indices,
  chunk_rows,
  chunk_start,
  empty,
  normalised,
)
from latent_kernels.soft.varying import alike


def soft_embedding_from_hidden(
  hidden: Float[Array, '*b h'],
  head: Float[Array, 'v h'],
  table: Float[Array, 'v d'],
  temperature: Float[Array, ''] | float = 1.0,
  *,
  chunk: int = 4096,
) -> SoftEmbedding:
  """The soft embedding of logits = hidden @ head.T, never stored as [*b t v].

  Args:
    hidden: [*b h], the model's last hidden states.
    head: [v h], the unembedding; may be `table` itself (tied), whose gradient
      is then the sum of both.
    table: [v d], the embedding whose rows are mixed; usually d = h.
    temperature: positive scalar, may be traced. A constant to
      differentiation: its gradient is zero.
    chunk: tokens of the vocabulary per step, 1 or more. Memory is about
      `3 * rows * chunk * 4` bytes. The vocabulary axis of head and table
      must not be sharded: each chunk would be gathered over the devices.

  Returns:
    SoftEmbedding(mixture [*b d], log_sum_exp [*b], l2 [*b]), float32
    (float64 where an input is). Reverse-mode gradients of the first order.

  Raises:
    ValueError: for shapes that do not match, or a chunk below 1.
  """
  if (
    (head.ndim, table.ndim, jnp.ndim(temperature)) != (2, 2, 0)
    or hidden.shape[-1:] != head.shape[1:]
    or head.shape[:1] != table.shape[:1]
  ):
    raise ValueError(
      f'soft_embedding_from_hidden: hidden {hidden.shape}, head {head.shape},'
      f' table {table.shape} and temperature {jnp.shape(temperature)} do not'
      ' match; expected hidden [..., h], head [v, h], table [v, d] and a scalar'
      ' temperature.'
    )
  if chunk < 1:
    raise ValueError(
      f'soft_embedding_from_hidden: chunk={chunk}; expected 1 or more tokens.'
    )
  dtype = jnp.result_type(hidden.dtype, head.dtype, table.dtype, jnp.float32)
  temperature = jax.lax.stop_gradient(jnp.asarray(temperature, dtype))
  rows = hidden.reshape(-1, hidden.shape[-1])
  arrays = alike(rows, head, table, temperature)
  out = _from_rows(*arrays, min(chunk, head.shape[0]))
  batch = hidden.shape[:-1]
  return jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), out)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _from_rows(hidden, head, table, temperature, chunk):
  def step(state, index):
    start, is_new = chunk_start(index, chunk, head.shape[0])
    z = _scaled_logits(
      hidden, chunk_rows(head, start, chunk), temperature, is_new
    )
    return absorb(state, z, chunk_rows(table, start, chunk)), None

  state = empty(hidden, table.shape[1], temperature.dtype)
  state, _ = jax.lax.scan(step, state, chunk_indices(head.shape[0], chunk))
  return normalised(state)


def _forward(hidden, head, table, temperature, chunk):
  out = _from_rows(hidden, head, table, temperature, chunk)
  return out, (hidden, head, table, temperature, out)


def _backward(chunk, residuals, cotangent):
  hidden, head, table, temperature, out = residuals
  dtype = temperature.dtype
  g = cotangent.mixture.astype(table.dtype)

  # The chunk's logits are recomputed: the residuals hold no [n v] array.
  def step(gradients, index):
    d_hidden, d_head, d_table = gradients
    start, is_new = chunk_start(index, chunk, head.shape[0])
    head_rows = chunk_rows(head, start, chunk)
    z = _scaled_logits(hidden, head_rows, temperature, is_new)
    p = jnp.exp(z - out.log_sum_exp[:, None])
    projected = _dot('ne,ve->nv', g, chunk_rows(table, start, chunk), dtype)
    dz = scaled_logits_gradient(p, projected, out, cotangent)
    d_logits = (dz / temperature).astype(head.dtype)
    return (
      d_hidden + _dot('nv,vd->nd', d_logits, head_rows, dtype),
      _add(d_head, _dot('nv,nd->vd', d_logits, hidden, dtype), start),
      _add(d_table, _dot('nv,ne->ve', p.astype(g.dtype), g, dtype), start),
    ), None

  # d_hidden sums over all chunks, hence in `dtype`; the rows of d_head and
  # d_table get one summand each and need no wider accumulator.
  zeros = (
    jnp.zeros_like(hidden, dtype),
    jnp.zeros_like(head),
    jnp.zeros_like(table),
  )
  gradients, _ = jax.lax.scan(step, zeros, chunk_indices(head.shape[0], chunk))
  d_hidden, d_head, d_table = gradients
  d_temperature = jnp.zeros_like(temperature)
  return d_hidden.astype(hidden.dtype), d_head, d_table, d_temperature


_from_rows.defvjp(_forward, _backward)


def _scaled_logits(hidden, head_rows, temperature, is_new):
  logits = _dot('nd,vd->nv', hidden, head_rows, temperature.dtype)
  return jnp.where(is_new[None], logits / temperature, -jnp.inf)


def _dot(spec, x, y, dtype):
  return jnp.einsum(spec, x, y, preferred_element_type=dtype)


def _add(total, rows, start):
  """Adds rows at `start`. Of shared rows all but one summand is zero: exact."""
  rows = rows.astype(total.dtype) + chunk_rows(total, start, rows.shape[0])
  return jax.lax.dynamic_update_slice_in_dim(total, rows, start, axis=0)
