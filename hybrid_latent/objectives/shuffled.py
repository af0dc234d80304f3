"""Advantages of shuffled rewards: a control of reinforcement learning.

Each completion has the reward of a completion of another prompt, the one at its
place in the preceding group of the batch. Rewards, groups and hence the
distribution of the advantages are those of the batch, but no advantage depends
on the completion that it weighs: what a run with them changes (the hidden ratio
of HRPO, the entropy, the length) is due to optimizer, weight decay, KL and
noise, and only what a run changes beyond it is learnt from rewards. The logged
rewards are the true ones.

A config names the estimator as `advantage.function`, with the keywords of that
of `advantages.py`, such as `shuffled:group_relative`. Token rewards and values
are of the completion itself.
"""

import functools

import jax.numpy as jnp

from hybrid_latent.objectives import advantages
from hybrid_latent.objectives.base import (
  Advantage,
  AdvantageInputs,
  Advantages,
)


def shuffled(estimator: Advantage) -> Advantage:
  """`estimator` on the rewards of the preceding group; the first group has
  those of the last. An advantage whose reward was ungraded is 0, as an ungraded
  completion's own. ValueError for a batch of one group."""

  @functools.wraps(estimator)
  def of_other_group(
    inputs: AdvantageInputs, group: int, **kwargs
  ) -> Advantages:
    rewards = advantages.row_rewards(inputs)
    if rewards.shape[0] <= group:
      raise ValueError(
        f'shuffled: {rewards.shape[0]} rewards in groups of {group}: write '
        'prompts_per_step of at least 2, as rewards of another prompt are used'
      )
    inputs = inputs._replace(rewards=jnp.roll(rewards, group))
    return estimator(inputs, group, **kwargs)

  return of_other_group


group_relative = shuffled(advantages.group_relative)
leave_one_out = shuffled(advantages.leave_one_out)
