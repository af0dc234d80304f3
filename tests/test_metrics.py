"""Figures of small batches, worked out by hand."""

from itertools import combinations

import numpy as np
import pytest

from hybrid_latent.metrics import (
  completion_metrics,
  evaluation_metrics,
  pass_at_k,
  reward_metrics,
)
from hybrid_latent.types import Trajectory

LENGTHS = np.array([4, 2, 1])
MASK = np.arange(4) < LENGTHS[:, None]
LATENT = np.array([[0.1, 0.3, 0, 0], [0.5, 0, 0, 0], [0.9, 0, 0, 0]])
OUT = Trajectory(
  tokens=np.zeros((3, 4), np.int32),
  mask=MASK,
  policy_mask=MASK
  & ~np.array([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]], bool),
  log_probs=np.zeros((3, 4)),
  behavior_log_probs=np.zeros((3, 4)),
  thinking_mask=LATENT > 0,
  latent_share=LATENT,
  record=(),
  terminated=np.array([False, True, True]),
  steps=np.int32(4),
)


def test_completions():
  assert completion_metrics(OUT) == pytest.approx(
    {
      'completions/mean_length': 7 / 3,
      'completions/min_length': 1,
      'completions/max_length': 4,
      'completions/mean_terminated_length': 1.5,
      'completions/min_terminated_length': 1,
      'completions/max_terminated_length': 2,
      'completions/tokens': 7,
      'completions/clipped_ratio': 1 / 3,
      'completions/mean_forced': 2 / 3,
      'hidden_ratio': (0.1 + 0.3 + 0.5) / 3,
      'hidden_ratio_margin': (0.1 + 0.3 + 0.5) / 3,
      'latent_tokens': 1,
      'switches': 2 / 3,
    }
  )


def test_only_the_rows_that_count():
  found = completion_metrics(OUT, np.array([True, False, False]))
  assert found['completions/tokens'] == found['completions/mean_length'] == 4
  assert found['completions/clipped_ratio'] == 1
  assert found['completions/max_terminated_length'] == 0
  assert found['hidden_ratio'] == pytest.approx(0.2)


def test_no_thought_has_no_hidden_ratio():
  thinking = np.zeros_like(MASK)
  out = OUT._replace(thinking_mask=thinking, latent_share=np.zeros(MASK.shape))
  assert completion_metrics(out)['hidden_ratio'] == 0


def test_switches_are_runs_of_latent_inputs_that_were_read():
  """Two runs; none; one, of which the last input was never read."""
  latent = np.array(
    [[1, 0, 0.5, 1, 1, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0]]
  )
  ones, lengths = np.ones(latent.shape, bool), np.array([[6], [6], [5]])
  mask = np.arange(6) < lengths
  out = OUT._replace(
    **dict.fromkeys(('mask', 'policy_mask'), mask),
    **dict.fromkeys(
      ('log_probs', 'behavior_log_probs'), np.zeros(latent.shape)
    ),
    tokens=np.zeros(latent.shape, np.int32),
    thinking_mask=ones,
    latent_share=latent,
    terminated=ones[:, 0],
  )
  found = completion_metrics(out)
  assert found['switches'] == 1
  assert found['latent_tokens'] == pytest.approx((4 + 0 + 1) / 3)
  assert found['completions/mean_forced'] == 0
  alone = completion_metrics(out, np.array([True, False, False]))
  assert (alone['switches'], alone['latent_tokens']) == (2, 4)


@pytest.mark.parametrize(
  ('k', 'expected'),
  [(1, 0.1562), (2, 0.2923), (4, 0.5120), (8, 0.7889), (16, 0.9783), (32, 1)],
)
def test_pass_at_k_of_five_in_thirty_two(k, expected):
  found = pass_at_k(np.arange(32)[None] < 5, k)
  assert found == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize('k', [1, 2, 3, 5])
def test_pass_at_k_is_the_share_of_all_draws_with_a_correct_one(k):
  correct = np.arange(5) < np.array([[0], [1], [3], [5]])
  draws = list(combinations(range(5), k))
  share = [np.mean([row[list(d)].any() for d in draws]) for row in correct]
  assert pass_at_k(correct, k) == pytest.approx(np.mean(share))


@pytest.mark.parametrize('k', [0, 5])
def test_no_more_draws_than_samples(k):
  with pytest.raises(ValueError, match=rf'k={k}: write 1 to 4'):
    pass_at_k(np.ones((2, 4), bool), k)


def test_rewards():
  grades = {
    'right': np.array([1, 0, 0, 0, 1, 1], np.float32),
    'short': np.array([0.5, 0.5, np.nan, 0.5, 0.5, 0.5], np.float32),
  }
  total = np.array([1, 0, 0, 0, 1, 1], np.float32)
  assert reward_metrics(grades, total, 2) == pytest.approx(
    {
      'rewards/right/mean': 0.5,
      'rewards/right/std': 0.5,
      'rewards/short/mean': 0.5,
      'rewards/short/std': 0,
      'rewards/right/ungraded': 0,
      'rewards/short/ungraded': 1 / 6,
      'reward': 0.5,
      'reward_std': 0.5**0.5 / 3,
      'frac_reward_zero_std': 2 / 3,
      'rewards/ungraded': 0,
    }
  )


def test_groups_that_teach_nothing_have_no_spread():
  """Equal ones, whatever their sum is rounded to, and hardly graded ones."""
  nan = np.nan
  total = np.array([*[0.3] * 7, 1, *[nan] * 6, *[0, 1] + [nan] * 5])
  found = reward_metrics({'r': total}, np.float32(total), 7)
  assert found['frac_reward_zero_std'] == pytest.approx(2 / 3)
  assert found['reward_std'] == pytest.approx(0.5**0.5 / 2)
  assert found['rewards/ungraded'] == pytest.approx(11 / 21)


def test_a_batch_without_any_grade():
  nothing = np.full(4, np.nan, np.float32)
  expected = {
    'rewards/r/mean': np.nan,
    'rewards/r/std': np.nan,
    'rewards/r/ungraded': 1,
    'reward': np.nan,
    'reward_std': np.nan,
    'frac_reward_zero_std': 1,
    'rewards/ungraded': 1,
  }
  found = reward_metrics({'r': nothing}, nothing, 2)
  assert found == pytest.approx(expected, nan_ok=True)


def test_no_group_has_two_to_compare():
  total = np.array([0, np.nan, 1, np.nan])
  found = reward_metrics({'r': total}, total, 2)
  assert (found['reward'], found['reward_std']) == (0.5, 0)


def test_pass_at_k_is_over_what_was_graded():
  """Two of three right; one of one; none graded; none of two right."""
  nan = np.nan
  grades = np.array([[1, 1, 0], [nan, 1, nan], [nan] * 3, [0, nan, 0]])
  assert evaluation_metrics(grades, too_long=2) == pytest.approx(
    {
      'mean': 3 / 6,
      'judged': 6,
      'ungraded': 6,
      'of_all': 3 / 18,
      'pass@1': (2 / 3 + 1 + 0) / 3,
      'pass@1/prompts': 3,
      'pass@2': (1 + 0) / 2,
      'pass@2/prompts': 2,
    }
  )
  assert pass_at_k(grades, 3) == 1
  assert np.isnan(pass_at_k(grades[1:], 3))


def test_an_evaluation_of_rewards_that_are_no_shares():
  grades = np.array([[2, np.nan], [-1, 0.5]])
  found = evaluation_metrics(grades)
  expected = {'mean': 0.5, 'judged': 3, 'ungraded': 1, 'of_all': 0.375}
  assert found == expected


def test_an_evaluation_without_any_grade():
  found = evaluation_metrics(np.full((2, 1), np.nan), too_long=1)
  expected = {'mean': np.nan, 'judged': 0, 'ungraded': 2, 'of_all': 0}
  assert found == pytest.approx(expected, nan_ok=True)
