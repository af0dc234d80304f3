"""The results of a record: one row per arm and data set, with every measure of
hybrid_latent/measures that is a number."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
  *('arm', 'dataset', 'problems', 'too_long', 'samples', 'ungraded'),
  *('accuracy', 'low', 'high', *CONTROLS),
  *('tokens', 'switches', 'hidden_ratio'),
)

UNREAD = 'ids', 'log_prob', 'near', 'prefix_near'
Accuracies = dict[int, float]  # of problems, by their index


class Record(NamedTuple):
  """The rows of one or several evaluations."""

  samples: list[Sample]
  given: list[Given]
  times: list[Times]


def by_name(folders: Iterable[str]) -> dict[str, str]:
  """The last part of the name of each folder -> it, or the whole names where
  two have the same. One that is given twice counts once."""
  found = {Path(x).resolve(): x for x in folders}
  names = {path.name for path in found}
  short = len(names) == len(found)
  return {path.name if short else str(path): x for path, x in found.items()}


def read(folders: Mapping[str, str]) -> Record:
  """The records of folders together, by name, samples without the fields of
  UNREAD. Where an arm on a data set is in two, all arms and models begin with
  the names of their records. FileNotFoundError where a folder has none,
  ValueError where two arms have different questions under one index."""
  records = {name: _read(folder) for name, folder in folders.items()}
  owners = Counter(
    (kind, *cell)
    for found in records.values()
    for kind, rows in found._asdict().items()
    for cell in cells(rows)
  )
  clash = max(owners.values(), default=0) > 1
  record = Record([], [], [])
  for name, found in records.items():
    for kind, rows in found._asdict().items():
      for row in rows if clash else ():
        for field in {'arm', 'model'} & row.keys():
          row[field] = f'{name}/{row[field]}'
      getattr(record, kind).extend(rows)
  _check_arms(record.samples)
  _check_questions(record.samples)
  _check_questions(record.given)
  return record


def _read(folder: str) -> Record:
  has = lambda name: (Path(folder) / f'{name}.jsonl').exists()
  return Record(
    []
    if has('given') and not has('samples')
    else [*map(_compact, stream_record(folder))],
    read_given(folder) if has('given') else [],
    read_times(folder) if has('times') else [],
  )


def _check_arms(samples: Iterable[Sample]) -> None:
  """ValueError where an arm on a data set is two, or has a sample twice."""
  for (arm, dataset), rows in cells(samples).items():
    counts = Counter((row['prompt'], row['sample']) for row in rows)
    (((prompt, sample), count),) = counts.most_common(1)
    if count > 1:
      raise ValueError(
        f'arm {arm!r} on {dataset!r} has sample {sample} of prompt {prompt} '
        f'{count} times: accepted is once: evaluate again'
      )
    for name in ARM:
      if len(values := {row[name] for row in rows}) > 1:
        raise ValueError(
          f'arm {arm!r} on {dataset!r} has {name}s {sorted(map(str, values))}: '
          'accepted is one: evaluate again'
        )


def _check_questions(rows: Iterable[Any]) -> None:
  """ValueError where a problem has another question in another arm: arms are
  compared by the indices of problems."""
  found: dict[tuple[str, int], tuple[str, str]] = {}
  for row in rows:
    asked = row['question'], row['arm']
    key = row['dataset'], row['prompt']
    question, arm = found.setdefault(key, asked)
    if question != row['question']:
      raise ValueError(
        f'prompt {row["prompt"]} of {row["dataset"]!r} is {question!r:.60} for '
        f'arm {arm!r} and {row["question"]!r:.60} for {row["arm"]!r}: compare '
        'evaluations of the same problems'
      )


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
  set; the arm of a control is named ARM/CONTROL."""
  found = cells(samples)
  pairs = [
    (rows, {name: found[key] for name in CONTROLS
            if (key := (f'{arm}/{name}', dataset)) in found})
    for (arm, dataset), rows in found.items()
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
  """The columns of SUMMARY of the results of arms without control; `too_long`
  where a problem was."""
  none = {'too_long'} - {*counts(table)}
  return [
    {column: row.get(column) for column in SUMMARY if column not in none}
    for row in table
    if not row['control']
  ]


def counts(table: Iterable[dict[str, Any]]) -> list[str]:
  """Of results, the columns that count what their accuracies leave out:
  `ungraded` completions, and problems that were `too_long` where one was."""
  return ['ungraded'] + ['too_long'] * any(row['too_long'] for row in table)


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
