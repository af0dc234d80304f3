"""Arms beside one another on the same problems: controls, paired tests, given
answers before and after training."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hybrid_latent.measures.given import GivenAnswers, given_answers
from hybrid_latent.measures.latents import cosine_between
from hybrid_latent.measures.uncertainty import (
  Difference,
  bootstrap_interval,
  interval,
  mcnemar,
  paired_bootstrap,
  paired_t_test,
)

from ..evaluation.record import Given, Sample, Times
from .results import Accuracies, accuracies, cells, mean, with_controls


def controls(samples: Sequence[Sample]) -> list[dict[str, Any]]:
  """Each arm with controls and data set: its accuracy, and that with latents of
  another problem, with latents without content, and without the latent step;
  the difference of each to its own latents and the p-value of the `test`, both
  over the problems that both arms have graded. `ungraded` counts completions of
  all of them."""
  table = []
  for rows, beside in with_controls(samples):
    values = accuracies(rows)
    line = {'arm': rows[0]['arm'], 'dataset': rows[0]['dataset']}
    line |= {'accuracy': mean(values), 'test': None}
    for name, others in beside.items():
      controlled = accuracies(others)
      difference, exact, _ = compared(controlled, values)
      line['test'] = 'paired bootstrap' if np.isnan(exact) else 'McNemar'
      line |= {
        name: mean(controlled),
        f'{name}_difference': difference.mean,
        f'{name}_p': difference.p if np.isnan(exact) else exact,
      }
    line['problems'] = len(values)
    line['ungraded'] = ungraded(rows, *beside.values())
    table.append(line)
  return table


def paired_tests(
  samples: Sequence[Sample], baseline: str | None = None
) -> list[dict[str, Any]]:
  """Each arm against the baseline (or that of `baselines`) on the problems that
  both have graded, whose accuracy is the mean over their samples. `mcnemar_p`
  is None for several samples per problem. `ungraded` counts completions of
  both."""
  found = cells(row for row in samples if not row['control'])
  default, chosen, table = baselines(found), baseline, []
  for (arm, dataset), rows in found.items():
    if arm == (baseline := chosen or default[dataset]):
      continue
    others = found.get((baseline, dataset), [])
    before = accuracies(others) if others else {}
    difference, exact, t_test = compared(accuracies(rows), before)
    table.append(
      {
        **{'arm': arm, 'baseline': baseline, 'dataset': dataset},
        'problems': difference.problems,
        'difference': difference.mean,
        **{'low': difference.low, 'high': difference.high},
        'bootstrap_p': difference.p,
        'mcnemar_p': None if np.isnan(exact) else exact,
        't_test_p': t_test,
        'ungraded': ungraded(rows, others),
      }
    )
  return table


def out_of_domain(
  given: Sequence[Given], baseline: str | None = None
) -> list[dict[str, Any]]:
  """Soft Tokens (arXiv 2509.19170): accuracy and nats per token of the right
  answer, per arm and data set, and the difference to the baseline, the model
  before training. `unscored` counts problems without a finite log-prob."""
  found = {key: given_answers(rows) for key, rows in cells(given).items()}
  default, chosen, table = baselines(found), baseline, []
  for (arm, dataset), answers in found.items():
    accuracy, nll = interval(answers.correct), bootstrap_interval(answers.nll)
    line = {
      **{'dataset': dataset, 'arm': arm, 'problems': len(answers.prompts)},
      'accuracy': accuracy.mean,
      **{'accuracy_low': accuracy.low, 'accuracy_high': accuracy.high},
      'accuracy_normalized': interval(answers.correct_normalized).mean,
      **{'nll': nll.mean, 'nll_low': nll.low, 'nll_high': nll.high},
      'unscored': int(np.isnan(answers.nll).sum()),
    }
    baseline = chosen or default[dataset]
    before = found.get((baseline, dataset))
    if arm != baseline and before is not None:
      for name, field in (('accuracy', 'correct'), ('nll', 'nll')):
        difference, *_ = compared(
          *(_by_problem(x, field) for x in (answers, before))
        )
        line |= {
          f'{name}_difference': difference.mean,
          f'{name}_difference_low': difference.low,
          f'{name}_difference_high': difference.high,
          f'{name}_p': difference.p,
        }
    table.append(line)
  return table


def cosines(times: Sequence[Times]) -> list[dict[str, Any]]:
  """LRT (ICLR 2026): the mean cosine similarity of the mean latents of two
  problems, of an arm with a prefix of latents on a data set, within it and to
  the others."""
  directions = {
    (row['arm'], row['dataset']): row['latent_direction']
    for row in times
    if 'latent_direction' in row
  }
  within = {(row['arm'], row['dataset']): row.get('cosine') for row in times}
  return [
    {'arm': arm, 'dataset': dataset}
    | {
      f'cosine to {other}': within[arm, dataset]
      if other == dataset
      else cosine_between(direction, directions[arm, other])
      for name, other in directions
      if name == arm
    }
    for (arm, dataset), direction in directions.items()
  ]


def compared(a: Accuracies, b: Accuracies) -> tuple[Difference, float, float]:
  """a - b over the problems of both by paired bootstrap, and the p-values of
  McNemar's test and of the paired t-test."""
  shared = [problem for problem in a if problem in b]
  x, y = (np.array([values[i] for i in shared], float) for values in (a, b))
  return paired_bootstrap(x, y), mcnemar(x, y), paired_t_test(x, y)


def _by_problem(answers: GivenAnswers, field: str) -> Accuracies:
  values = getattr(answers, field).tolist()
  return dict(zip(answers.prompts.tolist(), values, strict=True))


def baselines(found: Iterable[tuple[str, str]]) -> dict[str, str]:
  """Of (arm, data set): data set -> its arm `base`, or its first one."""
  first: dict[str, str] = {}
  for arm, dataset in found:
    if arm == 'base' or dataset not in first:
      first[dataset] = arm
  return first


def ungraded(*arms: Sequence[Sample]) -> int:
  """The number of completions that could not be graded."""
  return sum(row['correct'] is None for rows in arms for row in rows)
