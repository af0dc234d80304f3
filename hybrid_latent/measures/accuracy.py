"""Accuracy over several completions per problem.

  pass@1  the mean grade
  pass@k  one of k completions is correct: 1 - C(n - c, k) / C(n, k) (Chen et
          al., arXiv 2107.03374)
  maj@k   the most frequent answer of k completions is correct (self-consistency
          of Wang et al., arXiv 2203.11171; maj1@k of Minerva, arXiv 2206.14858)

A grade is 1, 0, or NaN where a completion could not be graded. n counts the
graded ones; a figure is the mean over the problems with at least k of these.
`hybrid_latent.metrics` has the figures that trainers log.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from math import comb
from typing import Any

import numpy as np
from jaxtyping import Float

from hybrid_latent import metrics

Row = Mapping[str, Any]


def grades_of(rows: Iterable[Row]) -> dict[int, Float[np.ndarray, 'samples']]:
  """The grades of each problem, by its index, in the order of the samples."""
  found = per_problem(rows, 'correct')
  return {i: np.array(values, float) for i, values in found.items()}


def per_problem(rows: Iterable[Row], field: str) -> dict[int, list]:
  """The field's values of each problem, by its index, in the order of the
  samples. ValueError where problems differ in their number of samples."""
  found: dict[int, list] = {}
  rows = sorted(rows, key=lambda row: (row['prompt'], row['sample']))
  for row in rows:
    found.setdefault(row['prompt'], []).append(row[field])
  counts = sorted({*map(len, found.values())})
  if len(counts) > 1:
    raise ValueError(
      f'arm {rows[0]["arm"]!r} on {rows[0]["dataset"]!r} has problems with '
      f'{counts} completions: accepted is one number: evaluate again'
    )
  return found


def mean_grades(
  grades: Float[np.ndarray, 'u samples'],
) -> Float[np.ndarray, 'u']:
  """pass@1 of each problem, NaN where no completion is graded."""
  with np.errstate(invalid='ignore'):
    return np.nansum(grades, 1) / (~np.isnan(grades)).sum(1)


def pass_at_k(
  grades: Float[np.ndarray, 'u samples'], k: int
) -> Float[np.ndarray, 'u']:
  """pass@k of each problem, NaN where fewer than k completions are graded."""
  return np.array([metrics.pass_at_k(row[None], k) for row in grades])


def maj_at_k(
  answers: Sequence[str | None], grades: Float[np.ndarray, 'samples']
) -> Float[np.ndarray, 'samples']:
  """maj@1, maj@2, ... of one problem: the probability that the vote of k of its
  graded completions is correct, over all subsets of k; NaN where fewer are
  graded.

  Completions vote by the text of the answer that was parsed; those without one
  abstain, and a vote without votes is wrong. Of answers with equally many votes
  each wins with the same probability. An answer's grade is the mean over its
  completions."""
  votes: dict[str | None, list[float]] = {}
  for answer, grade in zip(answers, grades.tolist(), strict=True):
    if not np.isnan(grade):
      votes.setdefault(answer and answer.strip(), []).append(grade)
  n = sum(map(len, votes.values()))
  votes.pop(None, None)
  counts = sorted((len(x), sum(x) / len(x)) for x in votes.values())
  rest = np.full(len(grades) - n, np.nan)
  return np.append(_majority(tuple(counts), n), rest)


@functools.lru_cache(4096)  # problems often have the same votes
def _majority(
  votes: tuple[tuple[int, float], ...], n: int
) -> Float[np.ndarray, 'n']:
  """maj@1 to maj@n of n completions, `votes` being the number of completions
  and the grade of each answer."""
  levels = range(1, 1 + max((count for count, _ in votes), default=0))
  won = sum((_won_with(level, votes, n) for level in levels), np.zeros(n + 1))
  return won[1:] / np.array([comb(n, k) for k in range(1, n + 1)], float)


def _won_with(
  level: int, votes: Sequence[tuple[int, float]], n: int
) -> Float[np.ndarray, 'sizes']:
  """Over all subsets of each size 0 to n whose winners have `level` votes, the
  sum of the mean grade of the winners."""
  able = [(count, grade) for count, grade in votes if count >= level]
  others = n - sum(count for count, _ in able)  # any of which may be drawn
  # Of the subsets by number of winners and size, one answer after the other:
  # their number, and the sum over them of the winners' grades.
  state = np.zeros((2, len(able) + 1, n + 1))
  state[0, 0, : others + 1] = [comb(others, x) for x in range(others + 1)]
  for count, grade in able:
    wins = float(comb(count, level)) * state[:, :-1, :-level]
    wins[1] += grade * wins[0]
    state = state @ _added(count, level, n)
    state[:, 1:, level:] += wins
  winners = np.arange(1, len(able) + 1)[:, None]
  return (state[1, 1:] / winners).sum(0)


@functools.lru_cache(256)
def _added(count: int, level: int, n: int) -> Float[np.ndarray, 'sizes sizes']:
  """[i, j]: the number of ways from a subset of size i to one of size j by
  fewer than `level` of `count` completions."""
  ways = [float(comb(count, x)) * np.eye(n + 1, k=x) for x in range(level)]
  return np.sum(ways, axis=0)
