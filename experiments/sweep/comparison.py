"""Compares the cells of a sweep: a table, curves, a page."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..measures.formats import csv_text
from ..report.page import curves_png, html_report
from ..report.run_folders import LABELS
from ..report.tables import (
  markdown_table,
  read_rows,
  write_atomic,
)
from .executors import LOG
from .grid import Cell
from .scheduler import finished, log_end

# Columns of the table from training steps: metric, heading, which means.
_SHOWN = (
  ('reward', 'reward', ('first', 'best', 'last')),
  ('completions/mean_length', 'tokens', ('first', 'last')),
  ('switches', 'switches', ('last',)),
  ('hidden_ratio', 'hidden ratio', ('last',)),
)
_INTRO = (
  'One row and one curve per cell. Metrics that begin with eval/ are those of '
  'evaluations before the first update and after the last. The others are '
  'means over a tenth of the training steps: the first, the best and the last '
  'tenth. A reward whose last mean is far below its best has collapsed.'
)


def write_comparison(cells: Sequence[Cell], workdir: Path) -> str:
  """Writes table.csv, curves.png and report.html. Returns a summary for the
  terminal."""
  table = [summary_row(cell) for cell in cells]
  runs = {c.label: c.run for c in cells if read_rows(c.run, 'metrics')}
  fields = dict.fromkeys(field for cell in cells for field in cell.values)
  labels = {cell.folder.name: cell.label for cell in cells}
  write_atomic(workdir / LABELS, json.dumps(labels, indent=2))
  write_atomic(workdir / 'table.csv', csv_text(table))
  curves_png(workdir / 'curves.png', runs)
  html_report(
    workdir / 'report.html',
    title=f'Sweep of {", ".join(fields)}',
    intro=_INTRO,
    table=table,
    runs=runs,
  )
  names = 'table.csv', 'curves.png', 'report.html'
  files = [str(workdir / name) for name in names]
  failed = [
    f'{cell.label}: {last} (its log: {cell.folder / LOG})'
    for cell in cells
    if not finished(cell)
    for last in log_end(cell, 1) or ['its log is empty']
  ]
  if failed:
    files += ['', f'{len(failed)} of {len(cells)} cells failed:', *failed]
  short = [*map(_short, cells, table)]
  return '\n'.join(['', markdown_table(short), '', *files])


def _short(cell: Cell, line: dict) -> dict:
  """The columns of a row that fit on a terminal."""
  rewards = [f'eval/{name}, last' for name in cell.config.get('rewards', {})]
  last = [f'{heading}, last' for _, heading, _ in _SHOWN]
  names = *cell.values, 'state', 'steps', *rewards, *last, 'error'
  return {name: line[name] for name in names if name in line}


def state(cell: Cell) -> str:
  """Finished, failed, or not run."""
  started = (cell.folder / LOG).exists() or read_rows(cell.run, 'metrics')
  return 'finished' if finished(cell) else 'failed' if started else 'not run'


def summary_row(cell: Cell) -> dict:
  """The row of a cell: its values and its metrics."""
  rows = read_rows(cell.run, 'metrics')
  numbers = lambda name: [r[name] for r in rows if r.get(name) is not None]
  line = {**cell.values, 'state': state(cell), 'steps': len(numbers('loss'))}
  rewards = tuple(f'eval/{name}/' for name in cell.config.get('rewards', {}))
  for name in dict.fromkeys(name for row in rows for name in row):
    if f'{name}/'.startswith(rewards) and (values := numbers(name)):
      line |= {f'{name}, first': values[0], f'{name}, last': values[-1]}
  for name, heading, which in _SHOWN:
    if values := numbers(name):
      width = -(-len(values) // 10)
      means = np.convolve(values, np.full(width, 1 / width), 'valid')
      of = {'first': means[0], 'best': means.max(), 'last': means[-1]}
      line |= {f'{heading}, {when}': float(of[when]) for when in which}
  if line['state'] == 'failed' and (last := log_end(cell, 1)):
    line['error'] = last[0]
  return line
