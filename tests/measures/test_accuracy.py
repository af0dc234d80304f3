"""Against enumeration, the closed form and a published fixture."""

from collections import Counter
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest

from hybrid_latent.measures.accuracy import (
  grades_of,
  maj_at_k,
  pass_at_k,
  per_problem,
)
from tests.measures.rows import row

NAN = np.nan


def test_pass_at_k_of_each_problem_is_the_closed_form():
  correct = np.array([0, 1, 5, 30, 32])
  grades = (np.arange(32) < correct[:, None]).astype(float)
  for k in (1, 2, 8, 32):
    expected = [1 - comb(32 - c, k) / comb(32, k) for c in correct]
    assert pass_at_k(grades, k) == pytest.approx(expected)
  curve = [pass_at_k(grades[2:3], k)[0] for k in (1, 2, 4, 8, 16, 32)]
  fixture = [0.1562, 0.2923, 0.5120, 0.7889, 0.9783, 1]
  assert curve == pytest.approx(fixture, abs=5e-5)


def test_pass_at_k_needs_k_graded_completions():
  grades = np.array([[1, NAN, 0], [NAN, NAN, 1]])
  assert pass_at_k(grades, 2) == pytest.approx([1, NAN], nan_ok=True)


def votes(answers, grades, k):
  """Every subset of the graded completions holds its vote."""
  graded = [x for x in zip(answers, grades, strict=True) if x[1] == x[1]]
  results = []
  for chosen in combinations(graded, k):
    counts = Counter(answer for answer, _ in chosen if answer is not None)
    best = max(counts.values(), default=0)
    winners = [answer for answer, n in counts.items() if n == best]
    grade = {
      a: np.mean([grade for b, grade in graded if a == b]) for a in winners
    }
    results.append(sum(grade.values()) / len(winners) if winners else 0)
  return np.mean(results)


@pytest.mark.parametrize(
  ('answers', 'grades'),
  [
    ('aaabbcd', '1110000'),
    ('aabbcc', '001100'),  # three that tie
    ('abcdefg', '0001000'),  # all different
    ('aa-b--b', '1100000'),  # some abstain
    ('-------', '0000000'),
    ('aabba', '11??1'),  # some are not graded
    ('aabbab', '100100'),  # one answer, graded both ways
    ('a', '1'),
  ],
)
def test_maj_at_k_is_the_mean_over_all_subsets(answers, grades):
  answers = [None if x == '-' else x for x in answers]
  grades = np.array([NAN if x == '?' else float(x) for x in grades])
  found, graded = maj_at_k(answers, grades), int((grades == grades).sum())
  expected = [votes(answers, grades, k) for k in range(1, graded + 1)]
  assert found[:graded] == pytest.approx(expected)
  assert np.isnan(found[graded:]).all()


@pytest.mark.parametrize('n', [32, 128])
def test_maj_at_8_of_two_answers_is_hypergeometric(n):
  """20 right: of 8, at least 5 right, or 4 and the coin."""
  ways = [comb(20, i) * comb(n - 20, 8 - i) for i in range(9)]
  expected = Fraction(2 * sum(ways[5:]) + ways[4], 2 * sum(ways))
  found = maj_at_k(['x'] * 20 + ['y'] * (n - 20), (np.arange(n) < 20) * 1.0)
  assert found[7] == pytest.approx(float(expected))
  assert found[-1] == (n == 32)


def test_spaces_do_not_split_a_vote():
  found = maj_at_k(['7', ' 7 ', '8'], np.array([1, 1, 0.0]))
  assert found[2] == 1


def test_grades_are_by_problem_and_sample():
  rows = [
    row(prompt=4, sample=1, correct=None),
    row(prompt=2, sample=0),
    row(prompt=4, sample=0, correct=0.0),
    row(prompt=2, sample=1),
  ]
  found = grades_of(rows)
  assert [*found] == [2, 4]
  assert found[4] == pytest.approx([0, NAN], nan_ok=True)
  with pytest.raises(
    ValueError, match=r"'a' on 'd' has problems with \[1, 2\] c"
  ):
    per_problem(rows[:3], 'correct')
