"""How much likelier a completion is under one policy than under another.

Two ratios enter a loss. exp(log_probs - old), from the learner before this
batch's updates to the learner now, carries the gradient: PPO (arXiv 1707.06347)
takes it by token and clips it, GSPO (arXiv 2507.18071) takes the geometric mean
over a sequence, RLOO (arXiv 2402.14740) that of the whole sequence. exp(old -
sampler), from the program that sampled to the learner, is a constant weight
that is truncated or masked; its settings have TRL's names.

Truncated support. Behind a top-k or top-p filter the tokens come from a
distribution that is renormalised over what the filter keeps, and exp(old -
behaviour) is too small by the kept mass, 0.8 at top-p 0.8, however equal the
weights (TRL's issue 6789 and pull request 7269). exp(old - sampler) compares
like with like, full vocabulary with full vocabulary. It is also what
renormalising the learner by the sampler's kept mass, exp(sampler - behaviour),
gives, and its mean is 1 where tokens are drawn and scored at one temperature.
To divide by `behaviour` is to correct for the filter, and for a temperature of
its own, as for any other change of distribution.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.base import lookup


def importance_log_ratio(
  log_ratio: Float[Array, 'b t'], mask: Bool[Array, 'b t'], level: str
) -> Float[Array, 'b t']:
  """Log-ratios of the tokens, or at each token the one of its sequence."""
  return lookup('level', level, LEVELS)(jnp.where(mask, log_ratio, 0), mask)


def clipped_log_ratio(
  log_ratio: Float[Array, 'b t'],
  advantages: Float[Array, 'b t'],
  clip_range: tuple[float, float],
  delta: float | None = None,
) -> tuple[Float[Array, 'b t'], dict[str, Bool[Array, 'b t']]]:
  """Log-ratios within the bounds of the clipped surrogate, and where these
  hold them.

  min(rho A, clip(rho, 1 - low, 1 + high) A) is rho A with rho held below 1 +
  high where A > 0, and above 1 - low where A < 0. There `delta` > 1 + high
  holds it from above: that is TRL's two-sided clipping, and verl's dual clip
  (arXiv 1912.09729). A held ratio has no gradient.
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
  most = math.inf if delta is None else math.log(delta)
  floor = jnp.where(advantages < 0, math.log1p(-low), -math.inf)
  ceiling = jnp.where(advantages > 0, math.log1p(high), most)
  clipped = {
    'low': log_ratio < floor,
    'high': (log_ratio > ceiling) & (advantages > 0),
  }
  return jnp.clip(log_ratio, floor, ceiling), clipped


def importance_weights(
  log_ratio: Float[Array, 'b t'],
  mask: Bool[Array, 'b t'],
  mode: str,
  cap: float,
) -> Float[Array, 'b t']:
  """exp(log_ratio) of tokens or whole sequences, without a gradient: at most
  `cap` ('..._truncate'), or 0 where it is more ('..._mask')."""
  level, bounded = lookup('importance_sampling_mode', mode, CORRECTIONS)
  if cap <= 0:
    raise ValueError(
      f'importance_sampling_cap {cap}: write the largest weight, a ratio above '
      '0'
    )
  weights = jnp.exp(importance_log_ratio(log_ratio, mask, level))
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
