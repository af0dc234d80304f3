"""Arms beside one another on the same problems: controls, paired tests, given
answers before and after training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hybrid_latent.measures.given import given_answers
from hybrid_latent.measures.uncertainty import (
  Difference,
  bootstrap_interval,
  interval,
  mcnemar,
  paired_bootstrap,
  paired_t_test,
)

from ..evaluation.record import Given, Sample
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
        f'{name} difference': difference.mean,
        f'{name} p': difference.p if np.isnan(exact) else exact,
      }
    line['problems'] = len(values)
    line['ungraded'] = ungraded(rows, *beside.values())
    table.append(line)
  return table


def paired_tests(
  samples: Sequence[Sample], baseline: str | None = None
) -> list[dict[str, Any]]:
  """Each arm against the baseline (see `baseline_of`) on the problems that both
  have graded, whose accuracy is the mean over their samples. `mcnemar_p` is
  None for several samples per problem. `ungraded` counts completions of
  both."""
  found = cells(row for row in samples if not row['control'])
  baseline = baseline_of([arm for arm, _ in found], baseline)
  table = []
  for (arm, dataset), rows in found.items():
    others = found.get((baseline, dataset))
    if arm == baseline or others is None:
      continue
    difference, exact, t_test = compared(accuracies(rows), accuracies(others))
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
  baseline = baseline_of([arm for arm, _ in found], baseline)
  table = []
  for (arm, dataset), answers in found.items():
    accuracy, nll = interval(answers.correct), bootstrap_interval(answers.nll)
    line = {
      **{'dataset': dataset, 'arm': arm, 'problems': len(answers.prompts)},
      'accuracy': accuracy.mean,
      **{'accuracy low': accuracy.low, 'accuracy high': accuracy.high},
      'accuracy normalized': interval(answers.correct_normalized).mean,
      **{'NLL': nll.mean, 'NLL low': nll.low, 'NLL high': nll.high},
      'unscored': int(np.isnan(answers.nll).sum()),
    }
    before = found.get((baseline, dataset))
    if arm != baseline and before is not None:
      for name, after, values in (
        ('accuracy', answers.correct, before.correct),
        ('NLL', answers.nll, before.nll),
      ):
        difference, *_ = compared(
          dict(zip(answers.prompts.tolist(), after.tolist(), strict=True)),
          dict(zip(before.prompts.tolist(), values.tolist(), strict=True)),
        )
        line |= {
          f'{name} difference': difference.mean,
          f'{name} difference low': difference.low,
          f'{name} difference high': difference.high,
          f'{name} p': difference.p,
        }
    table.append(line)
  return table


def compared(a: Accuracies, b: Accuracies) -> tuple[Difference, float, float]:
  """a - b over the problems of both by paired bootstrap, and the p-values of
  McNemar's test and of the paired t-test."""
  shared = [problem for problem in a if problem in b]
  x, y = (np.array([values[i] for i in shared], float) for values in (a, b))
  return paired_bootstrap(x, y), mcnemar(x, y), paired_t_test(x, y)


def baseline_of(arms: Sequence[str], baseline: str | None = None) -> str:
  """The arm of that name; by default `base`, or the first one, '' without
  arms."""
  if baseline is not None and baseline not in arms:
    raise ValueError(
      f'--baseline={baseline!r} is no arm: write one of {sorted({*arms})}'
    )
  return baseline or ('base' if 'base' in arms else next(iter(arms), ''))


def ungraded(*arms: Sequence[Sample]) -> int:
  """The number of completions that could not be graded."""
  return sum(row['correct'] is None for rows in arms for row in rows)
