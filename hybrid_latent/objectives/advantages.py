"""From the rewards of a prompt's group to the advantage of each member.

GRPO (arXiv 2402.03300) measures a reward in standard deviations of its group;
Dr. GRPO (arXiv 2503.20783) shows that this favours questions that are nearly
always or never solved, and leaves the deviation out. RLOO (arXiv 2402.14740)
compares with the mean of the other members.

The papers leave open what a completion without a grade does. Here, as in TRL,
it is left out: the others are judged as if it were not there, and its own
advantage is 0. A group with fewer than two grades has advantage 0 throughout.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.base import AdvantageInputs, Advantages
from hybrid_latent.ranges import PositiveFloat


def group_relative(
  inputs: AdvantageInputs,
  group: int,
  *,
  scale: Literal['group', 'batch', 'none'] = 'group',
  ddof: Literal[0, 1] = 1,
  eps: PositiveFloat = 1e-4,
) -> Advantages:
  """(r - mean) / (std + eps) over each run of `group` rows.

  r is the reward of a row with its token rewards. `scale` says whose deviation
  divides: 'group' (GRPO), 'batch' (that of all rewards at hand), or 'none'
  (Dr. GRPO). With `ddof` 1 its variance is unbiased, as in TRL (eps 1e-4) and
  verl (eps 1e-6).
  """
  if scale not in ('group', 'batch', 'none'):
    raise ValueError(
      f"group_relative: scale {scale!r}: write 'group', 'batch' or 'none'"
    )
  rewards = _in_groups(inputs, group)
  graded = ~jnp.isnan(rewards)
  advantages = _centred(rewards, graded, -1)
  if scale == 'group':
    advantages /= _std(advantages, graded, -1, ddof) + eps
  elif scale == 'batch':
    spread = _centred(rewards, graded, None)
    advantages /= _std(spread, graded, None, ddof) + eps
  return _by_token(advantages, inputs)


def leave_one_out(
  inputs: AdvantageInputs, group: int, *, normalize: bool = False
) -> Advantages:
  """r_i - mean of the other r_j, which is n / (n - 1) * (r - mean) over the n
  graded rows of each run of `group`.

  r is the reward of a row with its token rewards. `normalize` brings the
  advantages of all rows at hand to mean 0 and deviation 1 (TRL's
  normalize_advantages, off there as well).
  """
  rewards = _in_groups(inputs, group)
  graded = ~jnp.isnan(rewards)
  n = graded.sum(-1, keepdims=True)
  advantages = _centred(rewards, graded, -1) * (n / jnp.maximum(n - 1, 1))
  if normalize:
    compared = graded & (n > 1)
    advantages = _centred(advantages, compared, None)
    advantages /= _std(advantages, compared, None, 1) + 1e-4
  return _by_token(advantages, inputs)


def _in_groups(inputs, group) -> Float[Array, 'u g']:
  """The whole reward of each row, a prompt's rows side by side."""
  rewards = inputs.rewards
  if group < 2 or rewards.shape[0] % group:
    raise ValueError(
      f'group {group} with {rewards.shape[0]} rewards: a group needs at least '
      '2 rows to be compared, and the rows must be whole groups'
    )
  if inputs.token_rewards is not None:
    rewards += jnp.where(inputs.loss_mask, inputs.token_rewards, 0).sum(-1)
  return rewards.reshape(-1, group)


def _centred(x: Float[Array, 'u g'], graded: Bool[Array, 'u g'], axis):
  """x - mean over the graded, and 0 for the others."""
  # From the least on: equal values are then 0 however their sum is rounded.
  x -= jnp.min(jnp.where(graded, x, jnp.inf), axis, keepdims=True)
  n = jnp.maximum(graded.sum(axis, keepdims=True), 1)
  mean = jnp.sum(jnp.where(graded, x, 0), axis, keepdims=True) / n
  return jnp.where(graded, x - mean, 0)


def _std(centred, graded, axis, ddof):
  n = graded.sum(axis, keepdims=True)
  variance = jnp.sum(centred**2, axis, keepdims=True) / jnp.maximum(n - ddof, 1)
  return jnp.sqrt(variance)


def _by_token(advantages, inputs) -> Advantages:
  rows = advantages.reshape(-1, 1)
  return Advantages(jnp.broadcast_to(rows, inputs.loss_mask.shape))
