"""Advantages of shuffled rewards are those of another prompt's completions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.fields.functions import ROLES, keywords
from experiments.fields.named import named
from hybrid_latent.objectives import advantages, shuffled
from hybrid_latent.objectives.base import AdvantageInputs
from tests.tiny import QUICK

NAMES = pytest.mark.parametrize('name', ['group_relative', 'leave_one_out'])


def values(function, rewards, group, **how):
  """One number per row of 3 tokens."""
  inputs = AdvantageInputs(jnp.float32(rewards), np.ones((len(rewards), 3)) > 0)
  made = jax.jit(partial(function, group=group, **how), compiler_options=QUICK)
  return np.asarray(made(inputs).values[:, 0])


@NAMES
def test_each_group_has_the_advantages_of_the_preceding_one(name):
  rewards = np.random.default_rng(0).normal(size=(5, 4))
  own = values(getattr(advantages, name), rewards.ravel(), 4).reshape(5, 4)
  actual = values(getattr(shuffled, name), rewards.ravel(), 4).reshape(5, 4)
  np.testing.assert_array_equal(actual, own[[4, 0, 1, 2, 3]])


def test_one_correct_of_four_for_the_other_prompt():
  actual = values(shuffled.leave_one_out, [1, 0, 0, 0, 1, 1, 1, 1], 4)
  np.testing.assert_allclose(
    actual, [0, 0, 0, 0, 1, -1 / 3, -1 / 3, -1 / 3], atol=1e-6
  )


def test_no_advantage_depends_on_the_completion_it_weighs():
  rewards = np.zeros((3, 4))
  rewards[1] = 1, 0, 1, 0
  changed = rewards.copy()
  changed[1] = 0, 0, 0, 1
  before, after = (
    values(shuffled.group_relative, x.ravel(), 4).reshape(3, 4)
    for x in (rewards, changed)
  )
  np.testing.assert_array_equal(after[:2], before[:2])
  assert (after[2] != before[2]).all()


@NAMES
def test_an_ungraded_reward_is_an_advantage_of_zero(name):
  rewards = np.array([[1.0, 0, 0], [1, np.nan, 0], [0, 0, 1]])
  actual = values(getattr(shuffled, name), rewards.ravel(), 3).reshape(3, 3)
  assert actual[2, 1] == 0
  assert np.isfinite(actual).all()
  assert actual[2, 0] > 0 > actual[2, 2]


def test_token_rewards_stay_with_their_completion():
  inputs = AdvantageInputs(
    jnp.float32([1, 0, 0, 0]),
    np.ones((4, 1), bool),
    jnp.float32([[0], [0], [0], [2]]),
  )
  actual = shuffled.group_relative(inputs, 2, scale='none').values[:, 0]
  np.testing.assert_allclose(actual, [0, 0, -0.5, 0.5])


def test_a_batch_of_one_group_is_refused():
  with pytest.raises(ValueError, match='prompts_per_step of at least 2'):
    values(shuffled.group_relative, [1, 0, 0, 0], 4)


@NAMES
def test_a_config_names_it_with_the_keywords_of_the_estimator(name):
  role = ROLES['advantage.function']
  find = lambda module: keywords(named(f'{module}:{name}', role.package), role)
  assert find('shuffled') == find('advantages') != ({}, False)
