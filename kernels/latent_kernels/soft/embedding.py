"""The soft embedding from logits, with a choice of implementation."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latent_kernels.soft import tpu
from latent_kernels.soft.definition import (
  SoftEmbedding,
  reference,
  scaled_logits_gradient,
)
from latent_kernels.soft.online import absorb, empty, normalised
from latent_kernels.soft.varying import alike

Form = Callable[..., Any]


def soft_embedding(
  logits: Float[Array, '*b v'],
  table: Float[Array, 'v d'],
  temperature: Float[Array, ''] | float = 1.0,
  *,
  implementation: str | None = None,
) -> SoftEmbedding:
  """The expected embedding of a token drawn from softmax(logits / temperature).

  Args:
    logits: [*b v]; -inf excludes a token. A row of only -inf gives NaN.
    table: [v d], float32 or bfloat16. The matmul runs in its dtype and
      accumulates in float32, the dtype of every result (float64 stays float64).
    temperature: positive scalar, may be traced. A constant to
      differentiation: its gradient is zero.
    implementation: a name in IMPLEMENTATIONS. None takes 'pallas' on a TPU if
      the program is for one chip (a process with one chip, or inside
      `jax.shard_map`), since the compiler cannot partition a kernel; else
      'xla'.

  Returns:
    SoftEmbedding(mixture [*b d], log_sum_exp [*b], l2 [*b]). All but
    'reference' have reverse-mode gradients of the first order only.

  Raises:
    ValueError: for shapes that do not match or a name that does not exist.
  """
  if (
    table.ndim != 2
    or logits.shape[-1:] != table.shape[:1]
    or jnp.ndim(temperature)
  ):
    raise ValueError(
      f'soft_embedding: logits {logits.shape}, table {table.shape} and'
      f' temperature {jnp.shape(temperature)} do not match; expected logits'
      ' [..., v], table [v, d] and a scalar temperature.'
    )
  dtype = jnp.result_type(logits.dtype, table.dtype, jnp.float32)
  temperature = jax.lax.stop_gradient(jnp.asarray(temperature, dtype))
  *batch, vocab = logits.shape
  z = logits.reshape(-1, vocab).astype(dtype) / temperature
  default = _by_platform if one_chip(z, table) else IMPLEMENTATIONS['xla']
  form = chosen('soft_embedding', IMPLEMENTATIONS, implementation) or default
  out = form(*alike(z, table))
  return jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), out)


def xla(z: Float[Array, 'n v'], table: Float[Array, 'v d']) -> SoftEmbedding:
  """One matmul of unnormalised weights, divided by their sum at the end."""
  state = empty(z, table.shape[1], z.dtype)
  return normalised(absorb(state, z, table))


def _differentiable(forward):
  """`forward` with the analytic gradient: two matmuls, only z is saved."""

  def forward_and_residuals(z, table):
    out = forward(z, table)
    return out, (z, table, out)

  def backward(residuals, cotangent):
    z, table, out = residuals
    # Recomputed: to save p would need a second [n, v] array beside z.
    p = jnp.exp(z - out.log_sum_exp[:, None])
    g = cotangent.mixture.astype(table.dtype)
    projected = jnp.dot(g, table.T, preferred_element_type=z.dtype)
    dz = scaled_logits_gradient(p, projected, out, cotangent)
    d_table = jnp.dot(p.astype(g.dtype).T, g, preferred_element_type=z.dtype)
    return dz, d_table.astype(table.dtype)

  differentiable = jax.custom_vjp(forward)
  differentiable.defvjp(forward_and_residuals, backward)
  return differentiable


def _on_this_platform(z, table):
  return jax.lax.platform_dependent(z, table, tpu=tpu.pallas, default=xla)


_by_platform = _differentiable(_on_this_platform)

IMPLEMENTATIONS = {
  'reference': reference,  # the definition; any device, plain autodiff
  'xla': _differentiable(xla),  # any device
  'pallas': _differentiable(tpu.pallas),  # TPU
  'pallas_interpret': _differentiable(  # the TPU kernel on any device, slowly
    functools.partial(tpu.pallas, interpret=True)
  ),
}


def chosen(
  function: str, implementations: Mapping[str, Form], name: str | None
) -> Form | None:
  """The implementation of this name; ValueError for one that does not exist."""
  if name is not None and name not in implementations:
    raise ValueError(
      f'{function}: implementation={name!r} does not exist; choose one of'
      f' {", ".join(implementations)}, or None.'
    )
  return implementations[name] if name else None


def one_chip(rows: Float[Array, 'n _'], table: Float[Array, 'v d']) -> bool:
  """Whether the program is for one TPU chip, and its kernels support it."""
  mesh = jax.sharding.get_abstract_mesh()
  one_device = jax.default_backend() == 'tpu' and jax.device_count() == 1
  manual = not mesh.empty and mesh.are_all_axes_manual
  return (one_device or manual) and tpu.is_supported(rows, table)
