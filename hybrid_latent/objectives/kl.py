"""Estimates of KL(policy || reference) from the policy's own samples.

Schulman (2020, http://joschu.net/blog/kl-approx.html) compares k1, k2 and k3
by their values: k1 and k3 are unbiased, k3 is never negative. In a loss the
gradient matters, and there the ranking differs. With d = log_probs -
ref_log_probs, in expectation over the policy's samples:

        value         gradient to log_probs   the gradient of
  k1    d             1                       0
  k2    d^2 / 2       d                       KL(policy || reference)
  k3    exp(-d)-1+d   1 - exp(-d)             KL(reference || policy)
  k1+   d             d                       KL(policy || reference)
  k3+   exp(-d)-1+d   d                       KL(policy || reference)

The names, and `+` for an estimate with the gradient of k2, are verl's; its
clamps are omitted. In the reward instead of the loss, k1 is the right one.
TRL's use_bias_correction_kl (DeepSeek-V3.2, arXiv 2512.02556), k3 times the
ratio to the old policy, is k3+ wherever that ratio is 1.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hybrid_latent.objectives.base import lookup


def k1(
  log_probs: Float[Array, '*b'], ref_log_probs: Float[Array, '*b']
) -> Float[Array, '*b']:
  """Unbiased, of either sign."""
  return log_probs - ref_log_probs


def k2(
  log_probs: Float[Array, '*b'], ref_log_probs: Float[Array, '*b']
) -> Float[Array, '*b']:
  """Biased, with the gradient of KL(policy || reference)."""
  return (log_probs - ref_log_probs) ** 2 / 2


def k3(
  log_probs: Float[Array, '*b'], ref_log_probs: Float[Array, '*b']
) -> Float[Array, '*b']:
  """Unbiased, never negative; with the gradient of KL(reference || policy)."""
  d = ref_log_probs - log_probs
  # expm1: exp(d) - 1 cancels all digits of the small d of most tokens.
  return jnp.expm1(d) - d


def _straight_through(estimate):
  """The value of `estimate` with the gradient of k2."""
  stop = jax.lax.stop_gradient

  def with_k2_gradient(log_probs, ref_log_probs):
    value = stop(estimate(log_probs, ref_log_probs))
    # `gradient - stop(gradient)` is 0 in value, so only its derivative counts.
    gradient = k2(log_probs, ref_log_probs)
    return value + (gradient - stop(gradient))

  return with_k2_gradient


Estimator = Literal['k1', 'k2', 'k3', 'k1+', 'k3+']
ESTIMATORS: dict[str, Callable] = {
  'k1': k1,
  'k2': k2,
  'k3': k3,
  'k1+': _straight_through(k1),
  'k3+': _straight_through(k3),
}


def estimator(name: Estimator) -> Callable:
  """(log_probs, ref_log_probs) -> the estimate per token [b t]."""
  return lookup('config.reward_kl.estimator', name, ESTIMATORS)
