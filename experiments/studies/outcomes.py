"""The outcomes of a study's rows, with their uncertainty over seeds and over
problems.

A mean over a table of seeds x problems varies with either. Its squared error is
the variance of the seeds' means over the number of seeds plus that of the
problems' means over the number of problems, which is at least the true one; the
degrees of freedom are Welch and Satterthwaite's. Differences are paired by seed
and by problem. With one seed only problems vary, and that is what the interval
means.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hybrid_latent.measures.uncertainty import Interval, interval

from ..evaluation.record import read_times, stream_record
from ..report.charts import Points
from .study import Row

_MEANS = {  # of a row -> of a sample of the record
  'tokens': 'num_tokens_without_marks',
  'tokens_with_marks': 'num_tokens',
  'thinking_tokens': 'thinking_tokens',
  'switches': 'switches',
  'truncated': 'truncated',
}


class Difference(NamedTuple):
  """A mean difference with its 95 % interval and two-sided p-value."""

  mean: float
  low: float
  high: float
  p: float
  seeds: int
  problems: int


def rows_of(folder: Path) -> list[Row]:
  """One row per arm and data set of the record of an evaluation.

  `correct` has the sum of the grades of each problem's `samples` completions;
  those that could not be graded count as wrong, and `ungraded` counts them.
  `tokens` are those of words and latents, `tokens_with_marks` also the marks of
  spans; `by_switches` has the number, the correct ones and the tokens of the
  completions with 0, 1, ... spans.
  """
  found: dict[tuple, list] = defaultdict(list)
  for sample in stream_record(str(folder)):
    found[sample['arm'], sample['dataset']].append(sample)
  times = {(x['arm'], x['dataset']): x for x in read_times(str(folder))}
  return [_row(samples, times[key]) for key, samples in found.items()]


def _row(samples: Sequence[Any], times: Any) -> Row:
  first = samples[0]
  correct: dict[int, float] = defaultdict(float)
  by_switches: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
  shares = []
  for sample in samples:
    correct[sample['prompt']] += sample['correct'] or 0
    counts = by_switches[sample['switches']]
    counts[0] += 1
    counts[1] += int(sample['correct'] == 1)
    counts[2] += sample['num_tokens_without_marks']
    shares += sample['latent_share'][: sample['thinking_tokens']]
  mean = lambda name: float(np.mean([sample[name] for sample in samples]))
  kept = 'mode', 'control', 'budget', 'sampling', 'dataset'
  return {
    'evaluated': first['arm'],
    **{name: first[name] for name in kept},
    'problems': len(correct),
    'samples': len(samples) // len(correct),
    'ungraded': sum(sample['ungraded'] for sample in samples),
    'correct': [int(x) if x == int(x) else x for x in correct.values()],
    **{name: round(mean(of), 4) for name, of in _MEANS.items()},
    'hidden_ratio': round(float(np.mean(shares or [0])), 5),
    'by_switches': {str(i): by_switches[i] for i in sorted(by_switches)},
    'seconds': round(times['seconds'], 2),
  }


def grades(rows: Sequence[Row]) -> Float[np.ndarray, 's u']:
  """The mean grade of each problem, per row (seed)."""
  return np.array([np.array(row['correct']) / row['samples'] for row in rows])


def pass_at_k(rows: Sequence[Row], k: int) -> Float[np.ndarray, 's u']:
  """pass@k of each problem, per row (Chen et al., arXiv 2107.03374)."""
  one = lambda c, n: 1 - comb(n - int(c), k) / comb(n, k)
  return np.array(
    [[one(c, row['samples']) for c in row['correct']] for row in rows]
  )


def estimate(values: Float[np.ndarray, 's u']) -> Interval:
  """The mean grade over seeds and problems with its 95 % interval; with one
  seed `uncertainty.interval`."""
  if len(values) == 1:
    return interval(values[0])
  mean, half, _ = _two_way(values)
  low, high = max(mean - half, 0.0), min(mean + half, 1.0)
  return Interval(mean, low, high, values.shape[1])


def difference(
  a: Float[np.ndarray, 's u'], b: Float[np.ndarray, 's u']
) -> Difference:
  """a - b, paired by seed and problem. One row of either is paired with every
  row of the other, as a base without seeds is."""
  values = a - b
  mean, half, p = _two_way(values)
  return Difference(mean, mean - half, mean + half, p, *values.shape)


def _two_way(values) -> tuple[float, float, float]:
  """The mean, half of its interval, and the p-value of its being 0."""
  from scipy.special import stdtr, stdtrit  # takes half a second

  mean, parts = float(values.mean()), []
  for axis, count in enumerate(values.shape):
    if count > 1:
      means = values.mean(1 - axis)
      parts.append((means.var(ddof=1) / count, count - 1))
  squared = sum(part for part, _ in parts)
  if not squared:
    return mean, 0.0, float(mean == 0)
  freedom = squared**2 / sum(part**2 / n for part, n in parts)
  half = float(stdtrit(freedom, 0.975)) * squared**0.5
  return mean, half, float(2 * stdtr(freedom, -abs(mean) / squared**0.5))


def range_of_seeds(
  x: Sequence[float] | np.ndarray, per_seed: Sequence[Float[np.ndarray, 's']]
) -> Points:
  """A line: at each x the mean over the seeds, and their range as its band."""
  ends = [(values.mean(), values.min(), values.max()) for values in per_seed]
  return Points(np.asarray(x), *np.reshape(ends, (-1, 3)).T)


def shown(values: Interval | Difference, signed: bool = False) -> str:
  """'0.836 [0.801, 0.870]'."""
  sign = '+' if signed else ''
  low, high = (f'{x:{sign}.3f}' for x in (values.low, values.high))
  return f'{values.mean:{sign}.3f} [{low}, {high}]'
