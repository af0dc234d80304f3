"""Where spans of latents are in a completion (HyRea, ICLR 2026, analysis).

A span is a run of latent inputs. HyRea reports where spans are along the trace,
how long their blocks are, and relates them to the entropy of steps.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

Row = Mapping[str, Any]


def spans_of(row: Row) -> list[tuple[int, int]]:
  """The first token of each span and the one after its last, marks excluded."""
  edges = np.diff(np.array([False, *row['latent'], False], np.int8))
  pairs = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
  return [*zip(*map(np.ndarray.tolist, pairs), strict=True)]


def span_statistics(rows: Sequence[Row]) -> dict[str, float]:
  """`spans` per completion; the share of completions `with_spans`; over spans
  the mean `block_length` in latents and the mean relative `position` of their
  starts, 0 to 1; and the two correlations below. NaN where undefined."""
  counts = [len(spans_of(row)) for row in rows]
  mean = lambda values: float(np.mean(values)) if len(values) else np.nan
  return {
    'spans': mean(counts),
    'with_spans': mean(np.array(counts) > 0),
    'block_length': mean(block_lengths(rows)),
    'position': mean(relative_positions(rows)),
    'token_correlation': token_correlation(rows),
    'step_correlation': step_correlation(rows),
  }


def relative_positions(rows: Iterable[Row]) -> list[float]:
  """Start of each span over the number of tokens of its completion."""
  return [
    start / row['num_tokens'] for row in rows for start, _ in spans_of(row)
  ]


def block_lengths(rows: Iterable[Row]) -> list[int]:
  """The number of latents of each span."""
  return [end - start for row in rows for start, end in spans_of(row)]


def position_histogram(rows: Iterable[Row], bins: int = 10) -> list[dict]:
  """The number of spans by relative position."""
  counts, edges = np.histogram(relative_positions(rows), bins, (0, 1))
  ends = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
  return [
    {'from': low, 'to': high, 'spans': count}
    for (low, high), count in zip(ends, counts.tolist(), strict=True)
  ]


def length_histogram(rows: Iterable[Row]) -> list[dict]:
  """The number of spans by block length."""
  counts = Counter(block_lengths(rows))
  return [{'latents': n, 'spans': counts[n]} for n in sorted(counts)]


def token_correlation(rows: Iterable[Row]) -> float:
  """Point-biserial correlation over words: whether a span begins at the token
  (its mark, or where it has none its first latent) with the token's entropy,
  that of the distribution in which the model chose to begin it."""
  begins, entropies = [], []
  for row in rows:
    marks = {*row['marks']}
    starts = {start - (start - 1 in marks) for start, _ in spans_of(row)}
    for i, entropy in enumerate(row['entropy']):
      word = not row['latent'][i] and i not in marks
      if entropy is not None and (word or i in starts):
        begins.append(i in starts)
        entropies.append(entropy)
  return _correlation(np.array(begins, float), np.array(entropies, float))


def step_correlation(rows: Iterable[Row]) -> float:
  """Spearman's rank correlation over steps, which end at a token with a line
  break: the number of spans that begin in it with the mean entropy of its
  words. Steps without words do not count."""
  steps = [step for row in rows for step in _steps(row)]
  values = np.array(steps, float).reshape(-1, 2)
  return _correlation(_ranks(values[:, 0]), _ranks(values[:, 1]))


def _steps(row: Row) -> Iterator[tuple[int, float]]:
  """The spans and the mean entropy of each step."""
  starts, marks = {start for start, _ in spans_of(row)}, {*row['marks']}
  spans, entropies, last = 0, [], row['num_tokens'] - 1
  for i, entropy in enumerate(row['entropy']):
    spans += i in starts
    if entropy is not None and not row['latent'][i] and i not in marks:
      entropies.append(entropy)
    if '\n' in row['tokens'][i] or i == last:
      if entropies:
        yield spans, float(np.mean(entropies))
      spans, entropies = 0, []


def _ranks(values: Float[np.ndarray, 'n']) -> Float[np.ndarray, 'n']:
  """From 1 on; equal values have the mean of their ranks."""
  _, inverse, counts = np.unique(
    values, return_inverse=True, return_counts=True
  )
  return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _correlation(x, y) -> float:
  """Pearson's, NaN where one is constant."""
  if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
    return np.nan
  return float(np.corrcoef(x, y)[0, 1])
