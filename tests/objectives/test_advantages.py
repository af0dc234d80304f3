"""Advantages in a group: TRL's numbers, and completions without a grade."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives.advantages import group_relative, leave_one_out
from hybrid_latent.objectives.base import AdvantageInputs
from hybrid_latent.objectives.gae import gae
from tests.tiny import QUICK

NAN = np.nan
BOTH = pytest.mark.parametrize('advantages_of', [group_relative, leave_one_out])


def values(advantages_of, rewards, group, token_rewards=None, mask=None, **how):
  """One number a row, which every token of it has."""
  if mask is None:
    mask = np.ones((len(rewards), 3), bool)
  judged = AdvantageInputs(jnp.float32(rewards), mask, token_rewards)
  made = jax.jit(
    partial(advantages_of, group=group, **how), compiler_options=QUICK
  )
  by_token, returns = made(judged)
  assert by_token.shape == mask.shape
  assert returns is None
  rows = np.asarray(by_token[:, 0])
  np.testing.assert_array_equal(by_token, np.broadcast_to(rows, mask.T.shape).T)
  return rows


@pytest.mark.parametrize(
  ('advantages_of', 'how', 'expected'),
  [
    (group_relative, {}, (1.4997, -0.4999)),
    (group_relative, {'eps': 1e-6}, (1.499997, -0.499999)),
    (group_relative, {'ddof': 0, 'eps': 0}, (1.732051, -0.577350)),
    (group_relative, {'scale': 'none'}, (0.75, -0.25)),
    (leave_one_out, {}, (1, -1 / 3)),
    (leave_one_out, {'normalize': True}, (1.619923, -0.539974)),
  ],
)
def test_one_correct_of_four(advantages_of, how, expected):
  right, wrong = expected
  actual = values(advantages_of, [1, 0, 0, 0] * 2, 4, **how)
  np.testing.assert_allclose(actual, [right, *[wrong] * 3] * 2, atol=1e-6)


@BOTH
@pytest.mark.parametrize('group', [3, 7, 16])
def test_equal_rewards_have_no_advantage_at_all(advantages_of, group):
  rewards = np.repeat([0.0, 0.3, 1.0, -2.3], group)
  assert not values(advantages_of, rewards, group).any()


@pytest.mark.parametrize('ddof', [0, 1])
@pytest.mark.parametrize('scale', ['group', 'batch', 'none'])
def test_it_is_the_formula_and_sums_to_zero(scale, ddof):
  rewards = np.random.default_rng(0).normal(size=(50, 4)) + 5
  actual = values(group_relative, rewards.ravel(), 4, scale=scale, ddof=ddof)
  centred = rewards - rewards.mean(-1, keepdims=True)
  std = {
    'group': rewards.std(-1, ddof=ddof, keepdims=True),
    'batch': rewards.std(ddof=ddof),
    'none': 1 - 1e-4,
  }[scale]
  expected = (centred / (std + 1e-4)).ravel()
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
  np.testing.assert_allclose(actual.reshape(50, 4).sum(-1), 0, atol=1e-4)


def test_the_others_are_the_baseline():
  rewards = np.random.default_rng(0).normal(size=(3, 4))
  others = [
    r - np.delete(row, i).mean() for row in rewards for i, r in enumerate(row)
  ]
  actual = values(leave_one_out, rewards.ravel(), 4)
  np.testing.assert_allclose(actual, others, rtol=0, atol=1e-6)


def test_eps_is_added_to_the_deviation():
  expected = np.array([0.5, -0.5]) / (0.5**0.5 + 0.25)
  actual = values(group_relative, [1, 0], 2, eps=0.25)
  np.testing.assert_allclose(actual, expected, rtol=1e-6)


@BOTH
def test_the_order_of_groups_does_not_matter(advantages_of):
  rewards = np.random.default_rng(0).normal(size=(4, 3))
  order = [2, 0, 3, 1]
  actual = values(advantages_of, rewards[order].ravel(), 3)
  expected = values(advantages_of, rewards.ravel(), 3).reshape(4, 3)[order]
  np.testing.assert_array_equal(actual, expected.ravel())


@BOTH
def test_token_rewards_are_summed_where_tokens_count(advantages_of):
  mask = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 0, 1]], bool)
  by_token = np.random.default_rng(0).normal(size=mask.shape)
  rewards = np.array([1.0, 0, 0, 1])
  totals = rewards + (by_token * mask).sum(-1)
  by_token[~mask] = NAN
  np.testing.assert_allclose(
    values(advantages_of, rewards, 2, jnp.float32(by_token), mask),
    values(advantages_of, totals, 2),
    rtol=1e-5,
  )


@BOTH
def test_ungraded_rows_are_left_out(advantages_of):
  """The others are judged as if they were alone."""
  actual = values(advantages_of, [1, NAN, 0, 0, 0, 0, 0, NAN], 4)
  alone = values(advantages_of, [1, 0, 0], 3)
  np.testing.assert_array_equal(actual[[0, 2, 3]], alone)
  np.testing.assert_array_equal(actual[[1, 4, 5, 6, 7]], 0)


@pytest.mark.parametrize(
  ('advantages_of', 'how'),
  [(group_relative, {'scale': 'batch'}), (leave_one_out, {'normalize': True})],
)
def test_nor_do_they_count_in_a_batch(advantages_of, how):
  graded = [1, 0, 0.5, 0.2, 0.9, 0.7]
  alone = values(advantages_of, graded, 2, **how)
  actual = values(advantages_of, [*graded, NAN, NAN], 2, **how)
  np.testing.assert_allclose(actual, [*alone, 0, 0], rtol=1e-6)


def test_a_row_that_is_compared_with_none_is_not_normalized_with_the_others():
  graded, how = [1, 0, 0.5, 0.2], {'normalize': True}
  alone = values(leave_one_out, graded, 2, **how)
  actual = values(leave_one_out, [*graded, 9, NAN], 2, **how)
  np.testing.assert_allclose(actual, [*alone, 0, 0], rtol=1e-6)


@BOTH
@pytest.mark.parametrize('rewards', [[NAN] * 3, [NAN, 1, NAN], [5, NAN, NAN]])
def test_fewer_than_two_grades_say_nothing(advantages_of, rewards):
  np.testing.assert_array_equal(values(advantages_of, rewards, 3), 0)


@BOTH
@pytest.mark.parametrize(('rows', 'group'), [(4, 1), (5, 2), (2, 4)])
def test_groups_that_are_none_are_refused(advantages_of, rows, group):
  message = f'group {group} with {rows} rewards: a group needs'
  with pytest.raises(ValueError, match=message):
    values(advantages_of, [0] * rows, group)


@pytest.mark.parametrize('advantage', [group_relative, gae])
def test_rewards_are_one_per_row(unchecked, advantage):
  mask = jnp.ones((4, 3), bool)
  inputs = AdvantageInputs(jnp.ones((4, 1)), mask, values=jnp.ones((4, 3)))
  message = r'rewards have shape \(4, 1\): write one number per row'
  with pytest.raises(ValueError, match=message):
    advantage(inputs, 2)


def test_other_scales_are_refused():
  message = "scale 'row': write 'group', 'batch' or 'none'"
  with pytest.raises(ValueError, match=message):
    values(group_relative, [0, 1], 2, scale='row')
