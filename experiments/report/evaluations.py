"""Evaluations: the tables and charts of their records."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..measures.results import CONTROLS, counts, read
from ..measures.tables import Table, is_unknown, tables
from .charts import Chart
from .evaluation_charts import evaluation_charts

# The tables below the main one.
_MORE = {
  'out_of_domain': 'Given answers',
  'controls': 'Controls of the latents',
  'paired_tests': 'Paired tests against the baseline',
  'spans': 'Spans of latents',
}
# Where the names of columns differ from those of the results.
_HEADINGS = {
  'hidden_ratio': 'hidden ratio',
  'other_problem': 'other problem',
  'too_long': 'too long',
  'bootstrap_p': 'p, paired',
  'seconds_per_question': 's per question',
}


class Evaluations(NamedTuple):
  """What a page shows of one or more records."""

  arms: list[str]  # without those of controls: the series of the charts
  results: Table  # a row per arm and data set
  more: dict[str, Table]  # by title
  charts: list[Chart]


def evaluations(folders: Mapping[str, str | Path]) -> Evaluations:
  """The tables and charts of records. Where two have an arm of the same name
  on the same data set, the names of arms begin with those of their folders.

  Args:
    folders: name on the page -> the --workdir of an evaluation.
  """
  record = read({name: str(folder) for name, folder in folders.items()})
  found = tables(record)
  controls = {row['arm'] for row in record.samples if row['control']}
  names = dict.fromkeys(row['arm'] for row in record.samples)
  arms = [arm for arm in names if arm not in controls]
  more = {
    title: [row for row in found[name] if row['arm'] not in controls]
    for name, title in _MORE.items()
  }
  charts = evaluation_charts(record.samples, found, arms)
  return Evaluations(arms, _main_table(found), more, charts)


def _main_table(found: Mapping[str, Table]) -> Table:
  """The results, without those of controls, with the paired tests as a column,
  and without columns that no arm has."""
  cell = lambda row: (row['arm'], row['dataset'])
  tests = {cell(row): row for row in found['paired_tests']}
  rows: Table = [
    tests.get(cell(row), {})
    | row
    | {'95 % interval': f'{row["low"]:.3g} to {row["high"]:.3g}'}
    for row in found['results']
    if not row['control']
  ]
  # The largest k; the others are in the chart.
  most = 2 ** (
    max((row['samples'] for row in rows), default=1).bit_length() - 1
  )
  best = [f'pass@{most}', f'maj@{most}'] if most > 1 else []
  names = (
    *('arm', 'dataset', 'problems', 'accuracy', '95 % interval', *best),
    *('tokens', 'switches', 'hidden_ratio', *CONTROLS, 'bootstrap_p'),
    *('truncated', *counts(rows), 'seconds_per_question'),
  )
  shown = [n for n in names if not all(is_unknown(r.get(n)) for r in rows)]
  return [{_HEADINGS.get(n, n): row.get(n) for n in shown} for row in rows]
