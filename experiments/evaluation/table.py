"""The table of an evaluation, from its record alone."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from hybrid_latent.measures.accuracy import grades_of
from hybrid_latent.measures.tokens import token_counts
from hybrid_latent.metrics import evaluation_metrics

from .record import Sample, Times

# What the rows of an arm and a data set have in common.
FIELDS = 'model', 'feedback', 'mode', 'budget', 'sampling', 'dataset'
COUNTS = 'tokens', 'switches', 'hidden_ratio', 'forced', 'truncated'


def table_rows(samples: Sequence[Sample], times: Sequence[Times]) -> list[dict]:
  """One row per arm and data set, in the order of the record; that of a control
  is a column of its arm, its accuracy. Ungraded completions are in no accuracy
  but `of_all`."""
  costs = {(row['arm'], row['dataset']): row for row in times}
  table: dict[tuple, dict] = {}
  key = lambda row: (row['arm'], row['dataset'])
  for (arm, dataset), group in itertools.groupby(samples, key):
    rows: list[Any] = [*group]
    own = tuple(rows[0][name] for name in FIELDS)
    figures = _figures(rows, costs[arm, dataset])
    if control := rows[0]['control']:
      table[own][control] = figures.get('accuracy')
    else:
      table[own] = {
        'arm': arm,
        **dict(zip(FIELDS, own, strict=True)),
        **figures,
      }
  return [*table.values()]


def columns_that_differ(table: Sequence[dict]) -> list[dict]:
  """The rows without the fields that are the same in all of them."""
  same = {name for name in FIELDS if len({row[name] for row in table}) == 1}
  hidden = {'arm', *same} - {'model'}
  return [
    {name: x for name, x in row.items() if name not in hidden} for row in table
  ]


def _figures(rows: Sequence[dict], cost: Times) -> dict[str, Any]:
  grades = np.stack([*grades_of(rows).values()])
  graded = grades[~np.isnan(grades).all(1)]
  means = np.nanmean(graded, axis=1)
  (n,), (prompts, samples) = means.shape, grades.shape
  metrics = evaluation_metrics(grades, cost.get('too_long', 0))
  counts = token_counts(rows)
  latents = rows[0].get('prefix_latents', 0)
  figures = {
    'prompts': prompts,
    'accuracy': means.mean() if n else np.nan,
    'standard_error': np.std(means, ddof=1) / n**0.5 if n > 1 else 0.0,
    'judged': metrics['judged'],
    'ungraded': metrics['ungraded'],
    'too_long': cost.get('too_long', 0),
    'of_all': metrics['of_all'],
    f'pass@{samples}': metrics.get(f'pass@{samples}'),
    **{name: counts[name] for name in COUNTS},
    'latents': latents,
    'tokens_with_latents': counts['tokens'] + latents,
    'seconds': cost['seconds'] / cost['completions'],
    'tokens_per_second': cost['tokens'] / cost['seconds'],
    'cosine': cost.get('cosine'),
  }
  numbers = {k: np.asarray(x).item() for k, x in figures.items()}
  # Without thinking there is no hidden ratio, without grades no accuracy.
  return {k: x for k, x in numbers.items() if x is not None and x == x}
