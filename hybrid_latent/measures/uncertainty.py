"""Intervals of a mean over problems, and tests of two arms on the same ones.

Values are per problem: the mean over its completions, pass@k, a log-likelihood.
NaN stands for a problem without a value; paired functions leave out a problem
that lacks one of its two. All are deterministic: the resamples have a seed.
"""

from math import comb
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_FEW = 100  # different values


class Interval(NamedTuple):
  """A mean with its confidence interval."""

  mean: float
  low: float
  high: float
  problems: int  # with a value


class Difference(NamedTuple):
  """A mean difference with its confidence interval and two-sided p-value."""

  mean: float
  low: float
  high: float
  p: float
  problems: int


def interval(
  values: Float[np.ndarray, 'u'], confidence: float = 0.95
) -> Interval:
  """Wilson's interval for grades of 0 and 1, of which a bootstrap is too narrow
  (of all correct ones it has no width), else the bootstrap's."""
  graded = values[~np.isnan(values)]
  if np.isin(graded, (0, 1)).all():
    return wilson_interval(int(graded.sum()), len(graded), confidence)
  return bootstrap_interval(values, confidence)


def wilson_interval(
  correct: int, problems: int, confidence: float = 0.95
) -> Interval:
  """The score interval of a share (Wilson, 1927), NaN without problems."""
  if not problems:
    return Interval(np.nan, np.nan, np.nan, 0)
  z = NormalDist().inv_cdf((1 + confidence) / 2)
  share, n = correct / problems, problems
  centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
  half = z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
  half /= 1 + z**2 / n
  return Interval(share, max(centre - half, 0), min(centre + half, 1), n)


def bootstrap_interval(
  values: Float[np.ndarray, 'u'],
  confidence: float = 0.95,
  resamples: int = 10_000,
  seed: int = 0,
) -> Interval:
  """Percentile interval of the mean over resampled problems (Efron, 1979); of
  fewer than two problems its ends are NaN."""
  values = values[~np.isnan(values)]
  means = _resampled_means(values, resamples, seed)
  return Interval(_mean(values), *_percentiles(means, confidence), len(values))


def paired_bootstrap(
  a: Float[np.ndarray, 'u'],
  b: Float[np.ndarray, 'u'],
  confidence: float = 0.95,
  resamples: int = 10_000,
  seed: int = 0,
) -> Difference:
  """The mean of a - b over problems that are resampled for both together. p is
  twice the share of resamples on the other side of 0, which is never 0: the
  sample itself counts as one."""
  values = _paired(a, b)
  means = _resampled_means(values, resamples, seed)
  sides = [(1 + (means <= 0).sum()), (1 + (means >= 0).sum())]
  p = min(1.0, 2 * min(sides) / (1 + resamples)) if means.size else np.nan
  low, high = _percentiles(means, confidence)
  return Difference(_mean(values), low, high, float(p), len(values))


def mcnemar(a: Float[np.ndarray, 'u'], b: Float[np.ndarray, 'u']) -> float:
  """Two-sided p-value of McNemar's exact test (1947): of the problems that one
  arm alone solves, each does half, binomially. One completion per problem: NaN
  where a value is neither 0 nor 1, and without problems."""
  difference, known = _paired(a, b), ~np.isnan(a + b)
  if not known.any() or not np.isin([a[known], b[known]], (0, 1)).all():
    return np.nan
  wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
  n = wins + losses
  tail = sum(comb(n, i) for i in range(min(wins, losses) + 1))
  return min(1.0, 2 * tail / 2**n)


def paired_t_test(
  a: Float[np.ndarray, 'u'], b: Float[np.ndarray, 'u']
) -> float:
  """Two-sided p-value of the paired t-test (HRPO, arXiv 2505.18454): t = mean /
  (std / sqrt(u)) of a - b has u - 1 degrees of freedom. NaN for fewer than two
  problems or where all differences are 0."""
  from scipy.special import stdtr  # takes half a second

  values = _paired(a, b)
  if len(values) < 2 or not values.any():
    return np.nan
  error = values.std(ddof=1) / len(values) ** 0.5
  t = np.divide(abs(values.mean()), error) if error else np.inf
  return float(2 * stdtr(len(values) - 1, -t))


def _paired(a, b):
  difference = a - b
  return difference[~np.isnan(difference)]


def _resampled_means(values, resamples, seed):
  rng, u = np.random.default_rng(seed), len(values)
  if u < 2:
    return np.zeros(0)
  distinct, counts = np.unique(values, return_counts=True)
  if len(distinct) < _FEW:  # as grades are: their counts are multinomial
    return rng.multinomial(u, counts / u, resamples) @ distinct / u
  rows = -(-(10**6) // u)  # of a draw, which bounds its memory
  draws = (rng.integers(u, size=(rows, u)) for _ in range(0, resamples, rows))
  return np.concatenate([values[draw].mean(1) for draw in draws])[:resamples]


def _percentiles(means, confidence):
  if not means.size:
    return np.nan, np.nan
  tail = (1 - confidence) / 2
  low, high = np.quantile(means, [tail, 1 - tail])
  return float(low), float(high)


def _mean(values):
  return float(values.mean()) if values.size else np.nan
