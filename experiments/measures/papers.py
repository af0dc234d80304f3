"""The tables of the papers, from rows of `results`: one row per arm. Shares are
0 to 1; None stands where an arm lacks a column. Arms of controls are left out:
they have a table of their own."""

import re
from collections.abc import Sequence
from typing import Any

from .results import counts

Rows = Sequence[dict[str, Any]]


def hyrea(results: Rows) -> list[dict[str, Any]]:
  """HyRea (ICLR 2026): accuracy / #tokens / #switches per data set. Tokens are
  words and latents, without the marks of spans."""
  return by_dataset(results, 'accuracy', 'tokens', 'switches')


def hrpo(results: Rows) -> list[dict[str, Any]]:
  """HRPO (arXiv 2505.18454): accuracy per data set and on average, and what its
  figures show: hidden ratio, length, truncation, language mixing."""
  means = (
    *('hidden_ratio', 'thinking_tokens', 'tokens', 'truncated'),
    'other_script',
  )
  return by_dataset(results, 'accuracy', average=True, means=means)


def lrt(results: Rows) -> list[dict[str, Any]]:
  """Latent Reasoning Tuning (ICLR 2026): pass@1 and pass@4 per data set and on
  average for each mode and token budget; tokens, cost, and the cosine
  similarity of the latents of two problems."""
  named = [row | {'pass@1': row['accuracy']} for row in results]
  means = (
    *('tokens', 'latents', 'seconds_per_question', 'tokens_per_second'),
    'peak_memory_bytes',
  )
  columns = 'pass@1', 'pass@4', 'cosine'
  return by_dataset(
    named, *columns, average=True, means=means, about=('mode', 'budget')
  )


def soft_tokens(results: Rows) -> list[dict[str, Any]]:
  """Soft Tokens (arXiv 2509.19170): greedy pass@1 / sample pass@1 / pass@n of
  n samples per data set, a row per model and inference mode. The greedy and the
  sampled arm of a mode share their name but for the word greedy or sample."""
  merged: dict[tuple[str, str], dict[str, Any]] = {}
  most = max((row['samples'] for row in results), default=1)
  top = [f'pass@{most}'] * (most > 1)
  for row in results:
    name = re.sub(r'[\s_/-]+(greedy|sample)(?![a-z])', '', row['arm'])
    found = {f'{row["sampling"]} pass@1': row['accuracy']}
    found |= {name: row[name] for name in top if name in row}
    cell = merged.setdefault((name, row['dataset']), row | {'ungraded': 0})
    ungraded = cell['ungraded'] + row['ungraded']
    cell |= {'arm': name, **found, 'ungraded': ungraded}
  columns = 'greedy pass@1', 'sample pass@1', *top
  return by_dataset([*merged.values()], *columns)


def by_dataset(
  results: Rows,
  *columns: str,
  average: bool = False,
  means: Sequence[str] = (),
  about: Sequence[str] = (),
) -> list[dict[str, Any]]:
  """One row per arm with its `about`; per data set the columns and `counts`;
  the `average` of the columns over the data sets, and `means` of further ones:
  None where a data set lacks one."""
  results = [row for row in results if not row['control']]
  datasets = dict.fromkeys(row['dataset'] for row in results)
  arms = dict.fromkeys(row['arm'] for row in results)
  cells = {(row['arm'], row['dataset']): row for row in results}
  table, left_out = [], counts(results)
  for arm in arms:
    own = [cells.get((arm, dataset), {}) for dataset in datasets]
    (first, *_) = filter(None, own)
    line = {'arm': arm} | {name: first[name] for name in about}
    line |= {
      f'{dataset} {column}': row.get(column)
      for dataset, row in zip(datasets, own, strict=True)
      for column in (*columns, *left_out)
    }
    averages = columns if average and len(datasets) > 1 else ()
    line |= {
      f'average {column}': _mean([row.get(column) for row in own])
      for column in averages
    }
    line |= {name: _mean([row.get(name) for row in own]) for name in means}
    table.append(line)
  return table


def _mean(values: Sequence[float | None]) -> float | None:
  known = [x for x in values if x is not None and x == x]
  return sum(known) / len(values) if len(known) == len(values) else None
