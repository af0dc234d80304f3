"""Advantages from the rewards of a prompt's group.

GRPO (arXiv 2402.03300) divides by the standard deviation of the group; Dr. GRPO
(arXiv 2503.20783) shows that this favours questions that are nearly always or
never solved, and omits the division. RLOO (arXiv 2402.14740) has the mean of
the other members as its baseline.

The papers do not define the advantage of an ungraded completion. Here, as in
TRL, it is excluded from the group's statistics, and its own advantage is 0. A
group with fewer than two graded completions has advantage 0 throughout.
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
  """(r - mean) / (std + eps) over each `group` consecutive rows.

  r is the reward of a row plus the sum of its token rewards.

  scale: the standard deviation of the 'group' (GRPO), of the 'batch' (all rows
    of `inputs`), or 'none' (Dr. GRPO).
  ddof: 1 for the unbiased variance, as in TRL and verl.
  eps: added to the standard deviation; 1e-4 in TRL, 1e-6 in verl.
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
  graded rows of each group of `group` consecutive rows.

  r is the reward of a row plus the sum of its token rewards. `normalize` scales
  the advantages of all rows to mean 0 and standard deviation 1 (TRL's
  normalize_advantages, which is off by default, too).
  """
  rewards = _in_groups(inputs, group)
  graded = ~jnp.isnan(rewards)
  n = graded.sum(-1, keepdims=True)
  advantages = _centred(rewards, graded, -1) * (n / jnp.maximum(n - 1, 1))
  if normalize:
    # A lone graded row has no baseline: its 0 does not enter the statistics.
    compared = graded & (n > 1)
    advantages = _centred(advantages, compared, None)
    advantages /= _std(advantages, compared, None, 1) + 1e-4
  return _by_token(advantages, inputs)


def zero(inputs: AdvantageInputs, group: int) -> Advantages:
  """0, whatever the rewards: the other terms of a loss are left, such as a
  divergence (on-policy distillation)."""
  return Advantages(jnp.zeros(inputs.loss_mask.shape))


def row_rewards(inputs: AdvantageInputs) -> Float[Array, 'b']:
  """The rewards. ValueError where they are not one per row."""
  rows = inputs.loss_mask.shape[:1]
  if inputs.rewards.shape != rows:
    raise ValueError(
      f'AdvantageInputs: rewards have shape {inputs.rewards.shape}: write one '
      f'number per row of loss_mask, shape {rows}'
    )
  return inputs.rewards


def _in_groups(inputs, group) -> Float[Array, 'u g']:
  """The total reward per row, reshaped to one line per group."""
  rewards = row_rewards(inputs)
  if group < 2 or rewards.shape[0] % group:
    raise ValueError(
      f'group {group} with {rewards.shape[0]} rewards: a group needs at least '
      '2 rows to be compared, and the rows must be whole groups'
    )
  if inputs.token_rewards is not None:
    # An ungraded row stays NaN whatever its token rewards.
    rewards += jnp.where(inputs.loss_mask, inputs.token_rewards, 0).sum(-1)
  return rewards.reshape(-1, group)


def _centred(x: Float[Array, 'u g'], graded: Bool[Array, 'u g'], axis):
  """x - mean over the graded entries; 0 at the others."""
  # Subtracting the minimum first makes equal rewards exactly 0: the rounding of
  # their mean would leave a residue that the division by std amplifies.
  x -= jnp.min(jnp.where(graded, x, jnp.inf), axis, keepdims=True)
  n = jnp.maximum(graded.sum(axis, keepdims=True), 1)
  mean = jnp.sum(jnp.where(graded, x, 0), axis, keepdims=True) / n
  return jnp.where(graded, x - mean, 0)


def _std(centred, graded, axis, ddof):
  n = graded.sum(axis, keepdims=True)
  # Ungraded entries of `centred` are 0 and add nothing.
  variance = jnp.sum(centred**2, axis, keepdims=True) / jnp.maximum(n - ddof, 1)
  return jnp.sqrt(variance)


def _by_token(advantages, inputs) -> Advantages:
  rows = advantages.reshape(-1, 1)
  return Advantages(jnp.broadcast_to(rows, inputs.loss_mask.shape))
