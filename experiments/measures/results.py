"""The results of a record: one row per arm and data set, with every measure of
hybrid_latent/measures that is a number."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float

from hybrid_latent.measures.accuracy import (
  grades_of,
  maj_at_k,
  mean_grades,
  pass_at_k,
  per_problem,
)
from hybrid_latent.measures.cost import cost
from hybrid_latent.measures.scripts import other_script_share
from hybrid_latent.measures.tokens import token_counts
from hybrid_latent.measures.uncertainty import interval
from hybrid_latent.metrics import evaluation_metrics

from ..evaluation.record import (
  Given,
  Sample,
  Times,
  read_given,
  read_times,
  stream_record,
)

ARM = ('arm', 'dataset', 'model', 'feedback', 'mode', 'control', 'budget',
       'sampling')  # fmt: skip
CONTROLS = 'other_problem', 'pause', 'dropped'

# Of the results, those that are printed.
SUMMARY = (
  *('arm', 'dataset', 'problems', 'samples', 'ungraded', 'accuracy', 'low'),
  *('high', *CONTROLS, 'tokens', 'switches', 'hidden_ratio'),
)

UNREAD = 'ids', 'log_prob', 'near', 'prefix_near'
Accuracies = dict[int, float]  # of problems, by their index


class Record(NamedTuple):
  """The rows of one or several evaluations."""

  samples: list[Sample]
  given: list[Given]
  times: list[Times]


def read(folders: Sequence[str]) -> Record:
  """The records of folders together, samples without the fields of UNREAD.
  FileNotFoundError where a folder has none, ValueError where two have the same
  arm on the same data set."""
  record, owners = Record([], [], []), {}
  for folder in folders:
    has = lambda name: (Path(folder) / f'{name}.jsonl').exists()  # noqa: B023
    found = Record(
      []
      if has('given') and not has('samples')
      else [*map(_compact, stream_record(folder))],
      read_given(folder) if has('given') else [],
      read_times(folder) if has('times') else [],
    )
    for kind, rows in found._asdict().items():
      for arm, dataset in cells(rows):
        owner = owners.setdefault((kind, arm, dataset), folder)
        if owner != folder:
          raise ValueError(
            f'arm {arm!r} on {dataset!r} is in {owner} and in {folder}: write '
            'records whose arms have different names'
          )
      getattr(record, kind).extend(rows)
  return record


def _compact(row: Any) -> Sample:
  """The row in less memory: the table of a paper has 10^8 tokens."""
  kept = {name: x for name, x in row.items() if name not in UNREAD}
  kept['tokens'] = [*map(sys.intern, row['tokens'])]
  kept['latent_share'] = [0.0 if x == 0 else x for x in row['latent_share']]
  return cast(Sample, kept)


def cells(rows: Iterable[Any]) -> dict[tuple[str, str], list[Any]]:
  """(arm, data set) -> its rows, in the order of appearance."""
  found: dict[tuple[str, str], list] = {}
  for row in rows:
    found.setdefault((row['arm'], row['dataset']), []).append(row)
  return found


def with_controls(
  samples: Iterable[Sample],
) -> list[tuple[list[Sample], dict[str, list[Sample]]]]:
  """The rows of each arm that has controls, and those of each control, per data
  set."""
  own = lambda row: tuple(
    row[name] for name in ARM if name not in ('arm', 'control')
  )
  found = [*cells(samples).values()]
  controlled = {(own(rows[0]), rows[0]['control']): rows for rows in found}
  pairs = [
    (rows, {name: controlled[key] for name in CONTROLS
            if (key := (own(rows[0]), name)) in controlled})
    for rows in found
    if not rows[0]['control']
  ]  # fmt: skip
  return [(rows, beside) for rows, beside in pairs if beside]


def results(record: Record) -> list[dict[str, Any]]:
  """A row per arm and data set. Shares are 0 to 1; `accuracy` is pass@1, over
  the graded completions, with its 95 % interval `low` to `high`; `ungraded`
  counts completions and `too_long` the problems that were left out, both of
  which `of_all` has as wrong. An arm also has the accuracy of each of its
  controls (`with_controls`). Costs, and the `cosine` of the `latents` before
  the completions, are absent without a row of times.jsonl."""
  times = {(row['arm'], row['dataset']): row for row in record.times}
  table = []
  beside = {
    (rows[0]['arm'], rows[0]['dataset']): {
      name: mean(accuracies(others)) for name, others in controls.items()
    }
    for rows, controls in with_controls(record.samples)
  }
  for cell, rows in cells(record.samples).items():
    own: dict[str, Any] = {**times.get(cell, {})}
    too_long = own.get('too_long', 0)
    grades = np.array([*grades_of(rows).values()])
    share, low, high, _ = interval(mean_grades(grades))
    counts = evaluation_metrics(grades, too_long)
    found = {name: rows[0][name] for name in ARM}
    found |= {
      'problems': len(grades),
      'samples': grades.shape[1],
      **{'accuracy': share, 'low': low, 'high': high},
      'ungraded': counts['ungraded'],
      'too_long': too_long,
      'of_all': counts['of_all'],
      **beside.get(cell, {}),
      **token_counts(rows),
      'other_script': other_script_share(rows),
    }
    for point in pass_at_k_of(rows, grades):
      for name in 'pass', 'maj':
        found[f'{name}@{point["k"]}'] = point[f'{name}@k']
    found['latents'] = rows[0].get('prefix_latents', 0)
    found |= cost([own]) | {'cosine': own.get('cosine')} if own else {}
    table.append(found)
  return table


def summary(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """The columns of SUMMARY of the results of arms without control."""
  return [
    {column: row.get(column) for column in SUMMARY}
    for row in table
    if not row['control']
  ]


def accuracies(rows: Sequence[Sample]) -> Accuracies:
  """The accuracy of each problem, NaN where no completion is graded."""
  grades = grades_of(rows)
  values = mean_grades(np.array([*grades.values()]))
  return dict(zip(grades, values.tolist(), strict=True))


def mean(values: Accuracies) -> float:
  """Their mean over the problems that have one, NaN without any."""
  known = [x for x in values.values() if x == x]
  return sum(known) / len(known) if known else np.nan


def pass_at_k_of(
  rows: Sequence[Sample], grades: Float[np.ndarray, 'u samples']
) -> list[dict[str, Any]]:
  """pass@k, with its 95 % interval, and maj@k for each power of two up to the
  number of samples, over the `problems` with as many graded completions. None
  for one sample, and for grades other than 0 and 1."""
  known = ~np.isnan(grades)
  if grades.shape[1] < 2 or not np.isin(grades[known], (0, 1)).all():
    return []
  answers = per_problem(rows, 'parsed').values()
  majority = np.array(
    [maj_at_k(texts, row) for texts, row in zip(answers, grades, strict=True)]
  )
  points = []
  for k in (2**i for i in range(grades.shape[1].bit_length())):
    found = interval(pass_at_k(grades, k))
    votes = majority[known.sum(1) >= k, k - 1]
    points.append(
      {
        **{'k': k, 'pass@k': found.mean, 'low': found.low, 'high': found.high},
        **{
          'maj@k': float(votes.mean()) if votes.size else None,
          'problems': found.problems,
        },
      }
    )
  return points
