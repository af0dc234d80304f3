"""Advantages against a critic: generalized advantage estimation.

Schulman et al. (arXiv 1506.02438, as PPO uses it, arXiv 1707.06347) sum the
critic's errors delta_t = r_t + gamma V_{t+1} - V_t with weights (gamma
lam)^k. A completion has its reward at its last token, and nothing after it is
worth anything. PPO on language whitens the advantages over the batch, the
returns not.

The papers know no tokens that the policy did not choose. Here the recursion
passes over them: where the mask is False inside a row, the next counted token
follows at once, without a discount.
"""

import jax
import jax.numpy as jnp

from hybrid_latent.objectives.base import AdvantageInputs, Advantages
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
  the returns A + V from before the whitening.

  `whiten` brings the advantages of all counted tokens to mean 0 and unbiased
  variance 1. Rows without a grade have advantage 0, and returns that are V.
  `group` does not matter: a critic compares with no other row.
  """
  del group
  if inputs.values is None:
    raise ValueError(
      'gae: judged.values is None, and it needs those of a critic: train one, '
      'or write an advantage of advantages.py, which needs none'
    )
  for name, value in (('gamma', gamma), ('lam', lam)):
    if not 0 <= value <= 1:
      raise ValueError(f'gae: {name} {value}: write a number from 0 to 1')
  graded = ~jnp.isnan(inputs.rewards)[:, None]
  mask = inputs.loss_mask & graded
  # What a program left where nobody may look is in no sum.
  kept = lambda x: jnp.where(mask, x, 0)
  last = mask & (jnp.cumsum(mask[:, ::-1], axis=-1)[:, ::-1] == 1)
  rewards = jnp.where(last, inputs.rewards[:, None], 0)
  if inputs.token_rewards is not None:
    rewards += kept(inputs.token_rewards)
  advantages = _discounted(rewards, kept(inputs.values), mask, gamma, lam)
  returns = inputs.values + advantages
  if whiten:
    n = mask.sum()
    centred = kept(advantages - advantages.sum() / jnp.maximum(n, 1))
    variance = jnp.sum(centred**2) / jnp.maximum(n - 1, 1)
    advantages = centred * jax.lax.rsqrt(variance + 1e-8)
  return Advantages(advantages, returns)


def _discounted(rewards, values, mask, gamma, lam):
  """The recursion, backwards in time; 0 where the mask is False."""

  def back(following, now):
    next_value, next_advantage = following
    reward, value, counts = now
    delta = reward + gamma * next_value - value
    advantage = delta + gamma * lam * next_advantage
    passed = (
      jnp.where(counts, value, next_value),
      jnp.where(counts, advantage, next_advantage),
    )
    return passed, jnp.where(counts, advantage, 0)

  end = jnp.zeros_like(values[:, 0])
  steps = rewards.T, values.T, mask.T
  return jax.lax.scan(back, (end, end), steps, reverse=True)[1].T
