"""Against scipy, and statsmodels' published example of McNemar's test."""

import numpy as np
import pytest
from scipy import stats

from hybrid_latent.measures.uncertainty import (
  bootstrap_interval,
  interval,
  mcnemar,
  paired_bootstrap,
  paired_t_test,
  wilson_interval,
)

RNG = np.random.default_rng(0)
GRADES = (RNG.random(300) < 0.7).astype(float)
LIKELIHOODS = RNG.gamma(2.0, size=200)
OTHER = np.where(RNG.random(300) < 0.8, GRADES, 1 - GRADES)
NAN = np.nan
SEED = 3


@pytest.mark.parametrize('values', [GRADES, LIKELIHOODS])
def test_the_bootstrap_is_that_of_scipy(values):
  theirs = stats.bootstrap(
    (values,), np.mean, method='percentile', n_resamples=9999, rng=SEED
  ).confidence_interval
  found = bootstrap_interval(values)
  width = theirs.high - theirs.low
  assert found.mean == pytest.approx(values.mean())
  assert (found.low, found.high) == pytest.approx(theirs, abs=width / 20)
  assert found == bootstrap_interval(values)  # deterministic


def test_resamples_have_a_seed():
  found = [bootstrap_interval(LIKELIHOODS, seed=seed) for seed in (0, 1)]
  assert found[0] != found[1]


def test_problems_without_a_value_are_left_out():
  holes = np.append(GRADES, [NAN] * 9)
  assert bootstrap_interval(holes) == bootstrap_interval(GRADES)
  for values in ([], [NAN], [0.5]):
    found = bootstrap_interval(np.array(values))
    assert np.isnan([found.low, found.high]).all()
    assert found.problems == (values == [0.5])


def test_the_paired_bootstrap_is_that_of_scipy():
  found = paired_bootstrap(GRADES, OTHER)
  theirs = stats.bootstrap(
    (GRADES, OTHER),
    lambda a, b, axis: (a - b).mean(axis),
    paired=True,
    method='percentile',
    rng=SEED,
  ).confidence_interval
  width = theirs.high - theirs.low
  assert found.mean == pytest.approx((GRADES - OTHER).mean())
  assert (found.low, found.high) == pytest.approx(theirs, abs=width / 20)
  # In the middle of its range, where both are normal.
  assert found.p == pytest.approx(paired_t_test(GRADES, OTHER), abs=0.02)


def test_equal_arms_differ_by_nothing():
  found = paired_bootstrap(GRADES, GRADES)
  assert found == (0, 0, 0, 1, 300)
  assert mcnemar(GRADES, GRADES) == 1
  assert np.isnan(paired_t_test(GRADES, GRADES))


@pytest.mark.parametrize('share', [0.05, 0.5, 0.6])
def test_mcnemar_is_the_binomial_test(share):
  flipped = np.random.default_rng(SEED).random(300) < share
  other = np.where(flipped, 1 - GRADES, GRADES)
  wins = int(((GRADES == 1) & (other == 0)).sum())
  losses = int(((GRADES == 0) & (other == 1)).sum())
  expected = stats.binomtest(wins, wins + losses, 0.5).pvalue
  assert mcnemar(GRADES, other) == pytest.approx(expected)


def test_mcnemar_of_the_example_of_statsmodels():
  """Its test_mcnemar, of [[101, 121], [59, 33]]: exact=True has 4.434e-06."""
  a = np.repeat([1.0, 1, 0, 0], [101, 121, 59, 33])
  b = np.repeat([1.0, 0, 1, 0], [101, 121, 59, 33])
  assert mcnemar(a, b) == pytest.approx(4.434449e-06, rel=1e-5)


def test_mcnemar_is_of_single_completions():
  assert np.isnan(mcnemar(np.array([0.5, 1]), np.array([0.0, 1])))
  assert np.isnan(mcnemar(np.array([NAN]), np.array([1.0])))


def test_the_t_test_is_that_of_scipy():
  a = np.append(LIKELIHOODS, NAN)
  b = np.append(LIKELIHOODS[::-1], 1) + 0.1
  theirs = stats.ttest_rel(a, b, nan_policy='omit')
  assert paired_t_test(a, b) == pytest.approx(theirs.pvalue)
  assert paired_t_test(np.array([1.0, 2]), np.array([0.0, 1])) == 0


@pytest.mark.parametrize('correct', [0, 1, 17, 30])
def test_wilson_is_that_of_scipy(correct):
  theirs = stats.binomtest(correct, 30).proportion_ci(method='wilson')
  found = wilson_interval(correct, 30)
  assert found == pytest.approx((correct / 30, theirs.low, theirs.high, 30))


def test_the_interval_of_grades_is_wilsons():
  ones = np.ones(30)
  assert interval(ones) == wilson_interval(30, 30)
  assert interval(np.append(ones, NAN)).problems == 30
  zeros = np.zeros(500)
  assert interval(zeros) == wilson_interval(0, 500)
  halves = np.tile([0.5, 1], 15)
  assert interval(halves) == bootstrap_interval(halves)
  assert np.isnan(interval(np.array([NAN])).mean)
