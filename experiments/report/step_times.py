"""The time of a step and of its parts, as bars."""

import html
from collections.abc import Mapping

import numpy as np

from .tables import Run


def step_times_html(metrics: Mapping[str, Run]) -> str:
  """One bar per run, as long as its median step, split into the parts of a
  step. Steps that compile are left out."""
  timed = {
    name: [row for row in rows if row.get('time/step')]
    for name, rows in metrics.items()
  }
  steps = {name: _without_compiling(rows) for name, rows in timed.items()}
  parts = list(
    {part: None for rows in steps.values() for row in rows for part in row}
  )
  longest = max((_median(rows) for rows in steps.values() if rows), default=0)
  return ''.join(
    _bar(name, rows, len(timed[name]), parts, longest)
    for name, rows in steps.items()
    if rows and longest
  )


def _without_compiling(rows: Run) -> list[dict[str, float]]:
  """The seconds per part of the steps that compiled nothing: for the runs of
  older versions, which did not count that, of all but the first."""
  first = rows[0]['step'] if len(rows) > 1 else None
  compiled = [row.get('compilations', row['step'] == first) for row in rows]
  if all(compiled):
    compiled = [0] * len(rows)
  return [
    {k[5:]: row[k] or 0.0 for k in row if k.startswith('time/')}
    for row, programs in zip(rows, compiled, strict=True)
    if not programs
  ]


def _median(rows) -> float:
  return float(np.median([row['step'] for row in rows]))


def _bar(name, rows, logged, parts, longest) -> str:
  """The bar of a run: `rows` are the steps that count, of `logged` in all."""
  # The parts of the middle half of the steps: means are sensitive to outliers.
  rows = sorted(rows, key=lambda row: row['step'])
  half = rows[len(rows) // 4 : len(rows) - len(rows) // 4]
  means = {
    part: float(np.mean([row.get(part, 0) for row in half]))
    for part in parts
    if part != 'step'
  }
  total, median = sum(means.values()) or 1.0, _median(rows)
  spans = ''.join(
    f'<span class="p{index % 8}" style="width:'
    f'{seconds / total * median / longest:.3%}"></span>'
    for index, seconds in enumerate(means.values())
  )
  keys = ''.join(
    f'<li class="p{index % 8}">{html.escape(part)} <b>{seconds:.2g} s</b> '
    f'{seconds / total:.0%}</li>'
    for index, (part, seconds) in enumerate(means.items())
  )
  out = logged - len(rows)
  left_out = f'; {out} that compiled left out' * (out > 0)
  return (
    f'<div class="time"><b>{html.escape(name)}</b> {median:.3g} s per step, '
    f'the median of {len(rows)}{left_out}'
    f'<div class="bar">{spans}</div><ul class="runs">{keys}</ul></div>'
  )
