"""When an alarm counts on, and when it is off."""

import pytest

from hybrid_latent.alarms import ALARMS, streaks

BAD = {
  **{'frac_reward_zero_std': 1.0, 'entropy': 0.0, 'kl': 99.0},
  **{'completions/clipped_ratio': 1.0, 'completions/mean_length': 32.0},
  **{'hidden_ratio': 0.0, 'hidden_ratio_margin': 0.0, 'max_tokens': 32},
}


def test_all_of_them_hold_at_once():
  limits = dict.fromkeys(ALARMS, 0.5)
  assert streaks({}, BAD, limits) == dict.fromkeys(ALARMS, 1)


@pytest.mark.parametrize('off', [0, None])
def test_an_alarm_can_be_off(off):
  assert streaks({}, BAD, dict.fromkeys(ALARMS, off)) == {}


def test_an_alarm_ends_with_its_condition():
  counts = {}
  for entropy, expected in ((0.001, 1), (0.001, 2), (0.3, 0), (0.001, 1)):
    counts = streaks(counts, {'entropy': entropy}, {'entropy_collapse': 0.01})
    assert counts == {'entropy_collapse': expected}


def test_a_metric_that_is_absent_or_null_alarms_nobody():
  limits = dict.fromkeys(ALARMS, 0.5)
  for metrics in ({}, dict.fromkeys(BAD, float('nan'))):
    assert not any(streaks({}, metrics, limits).values())
