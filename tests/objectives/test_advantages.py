"""Group advantages: TRL's numbers, and completions without a grade."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_latent.objectives.advantages import group_advantages

NAN = np.nan


def advantages(rewards, group, **how):
  return np.asarray(group_advantages(jnp.float32(rewards), group, **how))


def test_one_correct_of_four():
  expected = [1.4997, -0.4999, -0.4999, -0.4999]
  actual = advantages([1, 0, 0, 0] * 2, 4)
  np.testing.assert_allclose(actual, expected * 2, rtol=0, atol=1e-4)


@pytest.mark.parametrize('group', [2, 3, 7, 16])
@pytest.mark.parametrize('reward', [0.0, 0.3, 1.0, -2.3])
def test_equal_rewards_have_no_advantage_at_all(group, reward):
  assert not advantages([reward] * group, group).any()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_it_is_the_formula_and_sums_to_zero(seed):
  rewards = np.random.default_rng(seed).normal(size=(3, 4))
  centred = rewards - rewards.mean(-1, keepdims=True)
  expected = centred / (rewards.std(-1, ddof=1, keepdims=True) + 1e-4)
  actual = advantages(rewards.ravel(), 4).reshape(3, 4)
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
  np.testing.assert_allclose(actual.sum(-1), 0, atol=1e-4)


def test_eps_is_added_to_the_deviation():
  expected = np.array([0.5, -0.5]) / (0.5**0.5 + 0.25)
  actual = advantages([1, 0], 2, eps=0.25)
  np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_ungraded_rows_are_left_out():
  """The others are judged as if they were alone."""
  actual = advantages([1, NAN, 0, 0, 0, 0, 0, NAN], 4)
  np.testing.assert_array_equal(actual[[0, 2, 3]], advantages([1, 0, 0], 3))
  np.testing.assert_array_equal(actual[[1, 4, 5, 6, 7]], 0)


@pytest.mark.parametrize('rewards', [[NAN] * 3, [NAN, 1, NAN], [5, NAN, NAN]])
def test_fewer_than_two_grades_say_nothing(rewards):
  np.testing.assert_array_equal(advantages(rewards, 3), 0)


@pytest.mark.parametrize(('rows', 'group'), [(4, 1), (5, 2), (2, 4)])
def test_groups_that_are_none_are_refused(rows, group):
  message = f'{rows} rewards in groups of {group}'
  with pytest.raises(ValueError, match=message):
    advantages([0] * rows, group)
