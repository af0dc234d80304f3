"""Given answers: log-likelihood and accuracy without sampling.

Soft Tokens (arXiv 2509.19170) reports, out of domain, the accuracy of multiple
choice and the negative log-likelihood per token of the right answer, before and
after training.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int


class GivenAnswers(NamedTuple):
  """Per problem; NaN where a log-prob that it needs is not finite."""

  prompts: Int[np.ndarray, 'u']  # index of the problem
  nll: Float[np.ndarray, 'u']  # nats per token of the right answer
  # The right answer has the largest sum of log-probs; 0.5 of two such, ...
  correct: Float[np.ndarray, 'u']
  # ... or the largest sum per character of its text: `acc_norm` of lm-eval.
  correct_normalized: Float[np.ndarray, 'u']


def given_answers(rows: Iterable[Mapping[str, Any]]) -> GivenAnswers:
  """The measures of each problem, in the order of their indices."""
  found = []
  for row in sorted(rows, key=lambda row: row['prompt']):
    answer = row['answer']
    right = np.array(row['log_probs'][answer], float)
    sums = np.array([np.sum(np.array(x, float)) for x in row['log_probs']])
    lengths = np.array([max(len(text), 1) for text in row['choices']])
    nll = -right.mean() if right.size else np.nan
    correct = _chosen(sums, answer), _chosen(sums / lengths, answer)
    found.append((row['prompt'], nll, *correct))
  prompts, *values = np.array(found, float).reshape(-1, 4).T
  return GivenAnswers(prompts.astype(int), *values)


def _chosen(scores: Float[np.ndarray, 'choices'], answer: int) -> float:
  """Whether the answer has the largest score, shared between equal ones; NaN
  where there is nothing to choose from, as for a gold answer."""
  if len(scores) < 2 or np.isnan(scores).any():
    return np.nan
  best = scores == scores.max()
  return float(best[answer] / best.sum())
