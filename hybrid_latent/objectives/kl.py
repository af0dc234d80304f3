"""Estimates of KL(policy || reference) from the policy's own samples."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def k3(
  log_probs: Float[Array, '*b'], reference: Float[Array, '*b']
) -> Float[Array, '*b']:
  """exp(d) - d - 1 with d = reference - log_probs: never negative, unbiased
  (Schulman 2020, http://joschu.net/blog/kl-approx.html). Its gradient to
  log_probs is 1 - exp(d)."""
  d = reference - log_probs
  return jnp.expm1(d) - d
