"""Generalized advantage estimation, with a critic.

Schulman et al. (arXiv 1506.02438, as PPO uses it, arXiv 1707.06347) sum the
critic's TD errors delta_t = r_t + gamma V_{t+1} - V_t with weights (gamma
lam)^k. The reward of a completion is at its last token, and the value after it
is 0. PPO on language whitens the advantages over the batch, the returns not.

The papers have no tokens that were not sampled from the policy. Here the
recursion skips positions inside a row where the mask is False: the next counted
token follows without a discount.
"""

import jax
import jax.numpy as jnp

from hybrid_latent.objectives.advantages import row_rewards
from hybrid_latent.objectives.base import (
  AdvantageInputs,
  Advantages,
)
from hybrid_latent.ranges import UnitFloat


def gae(
  inputs: AdvantageInputs,
  group: int,
  *,
  gamma: UnitFloat = 1.0,
  lam: UnitFloat = 0.95,
  whiten: bool = True,
) -> Advantages:
  """A_t = delta_t + gamma lam A_{t+1} over the counted tokens of each row, and
  the returns A + V before the whitening.

  `whiten` scales the advantages of all counted tokens to mean 0 and unbiased
  variance 1. Ungraded rows have advantage 0 and the returns V. `group` is
  unused: the baseline is the critic's value, not other rows.
  """
  del group
  if inputs.values is None:
    raise ValueError(
      'gae: inputs.values is None, accepted are the values of a critic: write '
      'critic.enabled=True, or an advantage of advantages.py, which needs none'
    )
  for name, value in (('gamma', gamma), ('lam', lam)):
    if not 0 <= value <= 1:
      raise ValueError(f'gae: {name} {value}: write a number from 0 to 1')
  row_reward = row_rewards(inputs)[:, None]
  graded = ~jnp.isnan(row_reward)
  mask = inputs.loss_mask & graded
  # where, not a product: masked positions may hold NaN, and NaN * 0 is NaN.
  masked = lambda x: jnp.where(mask, x, 0)
  # The last counted token is where the count from the right is 1.
  last = mask & (jnp.cumsum(mask[:, ::-1], axis=-1)[:, ::-1] == 1)
  rewards = jnp.where(last, row_reward, 0)
  if inputs.token_rewards is not None:
    rewards += masked(inputs.token_rewards)
  advantages = _discounted(rewards, masked(inputs.values), mask, gamma, lam)
  returns = inputs.values + advantages
  if whiten:
    n = mask.sum()
    centred = masked(advantages - advantages.sum() / jnp.maximum(n, 1))
    variance = jnp.sum(centred**2) / jnp.maximum(n - 1, 1)
    advantages = centred * jax.lax.rsqrt(variance + 1e-8)
  return Advantages(advantages, returns)


def _discounted(rewards, values, mask, gamma, lam):
  """The recursion, backwards in time; 0 where the mask is False."""

  def step(carry, inputs):
    next_value, next_advantage = carry
    reward, value, counted = inputs
    delta = reward + gamma * next_value - value
    advantage = delta + gamma * lam * next_advantage
    # A masked position passes the carry on, so it costs no discount.
    carry = (
      jnp.where(counted, value, next_value),
      jnp.where(counted, advantage, next_advantage),
    )
    return carry, jnp.where(counted, advantage, 0)

  end = jnp.zeros_like(values[:, 0])
  steps = rewards.T, values.T, mask.T
  return jax.lax.scan(step, (end, end), steps, reverse=True)[1].T
