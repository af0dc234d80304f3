"""Products with a weight in Hugging Face's layout, [out, in], and lookups of
its rows: plain, but for the steps of decoding on a CPU."""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from hybrid_latent.sharding import ambient_mesh

_FEW = 32  # rows, up to which the CPU's form was measured to be faster


def linear(
  x: Float[Array, '*b i'],
  weight: Float[Array, 'o i'],
  dtype: DTypeLike | None = None,
) -> Float[Array, '*b o']:
  """x @ weight.T, computed in x's dtype; `dtype` of the result, by default x's.

  A step of decoding with few rows is bound by reading the weight, and XLA's CPU
  matmul reads it faster as the left operand. Only a program for one CPU has
  that form: any other, and any other shape, has the plain product.
  """
  weight = weight.astype(x.dtype)
  if not _decodes_few_rows(x):
    return _weight_right(x, weight, dtype)
  return jax.lax.platform_dependent(
    x,
    weight,
    cpu=lambda x, weight: _weight_left(x, weight, dtype),
    default=lambda x, weight: _weight_right(x, weight, dtype),
  )


def _decodes_few_rows(x):
  """Whether these are inputs of one position in a batch of at most _FEW, in a
  program for one device; a float32 matrix-vector product is fast as it is."""
  batch, mesh = x.shape[:-1], ambient_mesh()
  one_device = mesh is None or mesh.size == 1
  one_position = bool(batch) and math.prod(batch[1:]) == 1
  # An exported program may have a batch without a number.
  if not (one_device and one_position and isinstance(batch[0], int)):
    return False
  return (1 if x.dtype.itemsize == 2 else 2) <= batch[0] <= _FEW


def _weight_right(x, weight, dtype):
  # With two dimensions of rows, XLA's CPU writes transposed copies for the
  # gradient of the weight; with one, v5e's compiler writes more than with two.
  rows = x.reshape(-1, x.shape[-1]) if _for_one_cpu() else x
  y = jnp.einsum('...i,oi->...o', rows, weight, preferred_element_type=dtype)
  return y.reshape(*x.shape[:-1], -1)


def _for_one_cpu() -> bool:
  """Whether the mesh is one CPU. A gradient of `platform_dependent` would keep
  what each of its branches needs."""
  mesh = ambient_mesh()
  device = None if mesh is None or mesh.size > 1 else mesh.abstract_device
  return device is not None and device.device_kind == 'cpu'


def _weight_left(x, weight, dtype):
  rows = x.reshape(-1, x.shape[-1])
  # Of a 16-bit weight, XLA makes a float32 copy for the whole loop, unless the
  # product has two rows at least, and a float32 result.
  padded = jnp.pad(rows, ((0, max(0, 2 - len(rows))), (0, 0)))
  wide = jnp.promote_types(x.dtype, jnp.float32)
  y = jnp.einsum('oi,bi->ob', weight, padded, preferred_element_type=wide)
  # Without the barrier XLA merges the transpose and swaps the operands back.
  y = jax.lax.optimization_barrier(y)
  y = y.T[: len(rows)].astype(dtype or x.dtype)
  return y.reshape(*x.shape[:-1], -1)


@jax.custom_jvp
def lookup(
  table: Float[Array, 'v d'], tokens: Int[Array, '*b']
) -> Float[Array, '*b d']:
  """table[tokens]."""
  if table.dtype.itemsize != 2:
    return table[tokens]
  return jax.lax.platform_dependent(
    table, tokens, cpu=_lookup_bits, default=lambda table, tokens: table[tokens]
  )


@lookup.defjvp
def _lookup_jvp(primals, tangents):
  return lookup(*primals), tangents[0][primals[1]]


def _lookup_bits(table, tokens):
  # XLA's CPU gather of a 16-bit float first makes a float32 copy of the table.
  bits = jax.lax.bitcast_convert_type(table, jnp.uint16)[tokens]
  return jax.lax.bitcast_convert_type(bits, table.dtype)
