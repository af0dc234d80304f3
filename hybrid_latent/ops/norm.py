"""Root-mean-square normalisation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def rms_norm(
  x: Float[Array, '*b d'], scale: Float[Array, 'd'], eps: float
) -> Float[Array, '*b d']:
  """x / rms(x) * scale; the statistics in float32, the result in x's dtype."""
  y = x.astype(jnp.float32)
  y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + eps)
  scale = jnp.expand_dims(scale, tuple(range(x.ndim - 1)))
  return scale.astype(x.dtype) * y.astype(x.dtype)
