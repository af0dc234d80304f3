"""Probability ratios between policies.

Two ratios enter a loss. exp(log_probs - old_log_probs), of the current policy
to the one before the updates on this batch, carries the gradient: PPO (arXiv
1707.06347) clips it per token, GSPO (arXiv 2507.18071) has the geometric mean
over a sequence, RLOO (arXiv 2402.14740) the ratio of the whole sequence. With
CISPO (arXiv 2506.13585, equations 4 and 5) the clipped ratio is a constant
weight, so that no token loses its gradient; SAPO (arXiv 2511.20347) has a
sigmoid in place of the clip.
exp(old_log_probs - rollout_log_probs), of the trainer's forward pass to the
rollout's, is a constant weight that is truncated or masked; its settings have
TRL's names.

Truncated support. With a top-k or top-p filter, tokens are sampled from a
distribution renormalised over the tokens that pass it, and exp(old - behavior)
is too small by their probability mass, 0.8 at top-p 0.8, even with equal
weights (TRL's issue 6789 and pull request 7269). exp(old - rollout) compares
two distributions over the full vocabulary. It equals the ratio to the behavior
after the trainer's distribution is renormalised by the same mass, exp(rollout -
behavior), and its mean is 1 where tokens are sampled and scored at one
temperature. Dividing by the behavior corrects for the filter, and for a
different temperature, as for any other change of distribution.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.base import lookup

LARGEST_LOG_RATIO = 20.0  # of a sigmoid's gate


def importance_log_ratio(
  log_ratio: Float[Array, 'b t'], mask: Bool[Array, 'b t'], level: str
) -> Float[Array, 'b t']:
  """Log-ratios per token; with another `level` than 'token', that of its
  sequence at each token."""
  # Masked here too: a NaN of one position would spread over its sequence.
  return lookup('level', level, LEVELS)(jnp.where(mask, log_ratio, 0), mask)


def clipped_log_ratio(
  log_ratio: Float[Array, 'b t'],
  advantages: Float[Array, 'b t'],
  clip_range: tuple[float, float],
  delta: float | None = None,
) -> tuple[Float[Array, 'b t'], dict[str, Bool[Array, 'b t']]]:
  """Log-ratios clipped as in the clipped surrogate, and where they are.

  min(rho A, clip(rho, 1 - low, 1 + high) A) is rho A with rho at most 1 + high
  where A > 0, and at least 1 - low where A < 0. `delta` > 1 + high is an upper
  bound where A < 0: TRL's two-sided clipping, and verl's dual clip (arXiv
  1912.09729). A clipped ratio has no gradient.
  """
  low, high = clip_range
  if not (0 < low < 1 and high > 0):
    raise ValueError(
      f'clip_range {clip_range}: write (low, high) with 0 < low < 1 and 0 < '
      'high, or None'
    )
  if delta is not None and delta <= 1 + high:
    raise ValueError(
      f'delta {delta}: write a ratio above 1 + high of clip_range '
      f'{clip_range}, or None'
    )
  largest = math.inf if delta is None else math.log(delta)
  # In log space: exp of a large log-ratio would overflow before the clip.
  floor = jnp.where(advantages < 0, math.log1p(-low), -math.inf)
  ceiling = jnp.where(advantages > 0, math.log1p(high), largest)
  clipped = {
    'low': log_ratio < floor,
    'high': (log_ratio > ceiling) & (advantages > 0),
  }
  return jnp.clip(log_ratio, floor, ceiling), clipped


def clipped_weights(
  log_ratio: Float[Array, 'b t'], clip_range: tuple[float, float]
) -> tuple[Float[Array, 'b t'], dict[str, Bool[Array, 'b t']]]:
  """CISPO's weights clip(rho, 1 - low, 1 + high), without a gradient, and where
  they are clipped. With low = 1 there is no lower bound, as in the paper."""
  low, high = clip_range
  if not (0 < low <= 1 and high > 0):
    raise ValueError(
      f'clip_range {clip_range}: write (low, high) with 0 < low <= 1 and 0 < '
      'high'
    )
  ratio = jnp.exp(log_ratio)  # perhaps infinite
  clipped = {'low': ratio < 1 - low, 'high': ratio > 1 + high}
  return jax.lax.stop_gradient(jnp.clip(ratio, 1 - low, 1 + high)), clipped


def soft_gate(
  log_ratio: Float[Array, 'b t'],
  advantages: Float[Array, 'b t'],
  temperatures: tuple[float, float],
) -> Float[Array, 'b t']:
  """SAPO's 4 / tau sigmoid(tau (rho - 1)), where tau is the first temperature
  if A > 0, else the second. Its gradient is that of rho at rho = 1, and falls
  on both sides of it."""
  if min(temperatures) <= 0:
    raise ValueError(
      f'temperatures {temperatures}: write two numbers above 0, for positive '
      'and other advantages'
    )
  tau = jnp.where(advantages > 0, *temperatures)
  # Beyond it the gate is 1 to all digits: 0 * infinity would be the gradient.
  ratio = jnp.exp(jnp.minimum(log_ratio, LARGEST_LOG_RATIO))
  return 4 / tau * jax.nn.sigmoid(tau * (ratio - 1))


def importance_weights(
  log_ratio: Float[Array, 'b t'],
  mask: Bool[Array, 'b t'],
  mode: str,
  cap: float,
) -> Float[Array, 'b t']:
  """exp(log_ratio) of tokens or whole sequences, without a gradient: at most
  `cap` ('..._truncate'), or 0 where it is larger ('..._mask')."""
  level, bounded = lookup('importance_sampling_mode', mode, CORRECTIONS)
  if cap <= 0:
    raise ValueError(
      f'importance_sampling_cap {cap}: write the largest weight, a ratio above '
      '0'
    )
  weights = jnp.exp(importance_log_ratio(log_ratio, mask, level))
  # A constant: the gradient is that of the surrogate alone.
  return jax.lax.stop_gradient(bounded(weights, cap))


def _of_row(log_ratio):
  total = jnp.sum(log_ratio, axis=-1, keepdims=True)
  return jnp.broadcast_to(total, log_ratio.shape)


def _mean_of_row(log_ratio, mask):
  return _of_row(log_ratio) / jnp.maximum(mask.sum(-1, keepdims=True), 1)


def _masked(weights, cap):
  return jnp.where(weights <= cap, weights, 0)


Level = Literal['token', 'sequence', 'sequence-sum']
LEVELS: dict[str, Callable] = {
  'token': lambda log_ratio, mask: log_ratio,
  'sequence': _mean_of_row,
  'sequence-sum': lambda log_ratio, mask: _of_row(log_ratio),
}
Correction = Literal['none', 'token_truncate', 'token_mask',
                     'sequence_truncate', 'sequence_mask']  # fmt: skip
CORRECTIONS: dict[str, tuple] = {
  'none': ('token', lambda weights, cap: jnp.ones_like(weights)),
  'token_truncate': ('token', jnp.minimum),
  'token_mask': ('token', _masked),
  'sequence_truncate': ('sequence-sum', jnp.minimum),
  'sequence_mask': ('sequence-sum', _masked),
}
