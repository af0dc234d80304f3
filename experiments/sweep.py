r"""Trains every configuration of a grid, and compares them on one page.

    python -m experiments.sweep --workdir=runs/sweep --config.steps=40 \
        --config=experiments/configs/rl_arithmetic.py:runs/sft/model,hrpo \
        --grid="config.feedback.initial.r_min=0.95,0.98,0.99; config.seed=0,1"

A grid names fields and their values, and `argument` for what stands behind the
colon of --config. Values that have commas are separated by bars:
"argument=runs/sft/model,hrpo|runs/sft/model,direct". Other options that begin
with --config. hold for every cell. Nothing runs before all of it is checked.

A cell is a run of the trainer in a process and a folder of its own, under
WORKDIR/cells. The same command goes on with a sweep that was stopped: what is
finished is left alone, what is not resumes. --plan shows the cells, and trains
nothing. Ends with WORKDIR/table.csv, curves.png and report.html, and with exit
code 1 if a cell failed.
"""

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.grid import Cell, cells
from experiments.report import curves_png, html_report, rows_of, write_whole

# What the table shows of the training steps: metric, heading, which means.
_SHOWN = (
  ('reward', 'reward', ('first', 'best', 'last')),
  ('completions/mean_length', 'tokens', ('first', 'last')),
  ('switches', 'switches', ('last',)),
  ('hidden_ratio', 'hidden ratio', ('last',)),
)
_INTRO = (
  'A row and a curve for each cell. What begins with eval/ is measured on test '
  'problems, before the first update and after the last. The rest are means '
  'over a tenth of the training steps: the first, the best and the last. A '
  'reward whose last is far below its best has collapsed.'
)
_LOG = 'log.txt'  # of a cell: what its trainer printed
_MARKER = 'finished.json'  # of a cell: the config with which it ended


def main() -> int:
  """The command; its exit code."""
  parser = _parser()
  flags, fixed = parser.parse_known_args()
  workdir = Path(flags.workdir)
  try:
    every = cells(flags.config, flags.grid, fixed, workdir / 'cells')
  except ValueError as error:
    parser.error(str(error))
  if flags.plan:
    print(markdown([plan(cell) for cell in every]))
    return 0
  for number, cell in enumerate(every, 1):
    print(f'[{number}/{len(every)}] {cell.label}', end=': ', flush=True)
    print('was finished' if finished(cell) else trained(cell), flush=True)
  table = [outcome(cell) for cell in every]
  runs = {
    cell.label: cell.folder for cell in every if rows_of(cell.folder, 'metrics')
  }
  write_whole(workdir / 'table.csv', _as_csv(table))
  curves_png(workdir / 'curves.png', runs)
  html_report(
    workdir / 'report.html',
    title=f'Sweep of {", ".join(every[0].values)}',
    intro=_INTRO,
    table=table,
    runs=runs,
  )
  print(f'\n{markdown(table)}\n')
  for name in ('table.csv', 'curves.png', 'report.html'):
    print(workdir / name)
  return 0 if all(map(finished, every)) else 1


def launch(command: Sequence[str], folder: Path) -> int:
  """Runs a cell here and waits for it; its exit status. What it prints goes to
  `folder`. An executor for other machines would take this function's place."""
  cache = (folder.parents[1] / 'jax_cache').resolve()  # of all cells
  env = {'JAX_COMPILATION_CACHE_DIR': str(cache), **os.environ}
  with (folder / _LOG).open('w', encoding='utf-8') as log:
    return subprocess.run(command, stdout=log, stderr=log, env=env).returncode


def trained(cell: Cell) -> str:
  """Runs a cell to its end; what became of it."""
  cell.folder.mkdir(parents=True, exist_ok=True)
  began = time.monotonic()
  trainer = [sys.executable, '-m', 'experiments.grpo']
  workdir = f'--workdir={cell.folder}'
  if status := launch([*trainer, *cell.options, workdir], cell.folder):
    log = cell.folder / _LOG
    last = log.read_text('utf-8', 'replace').splitlines()[-12:]
    # A model's text may be in it, and a terminal obeys some characters.
    plain = [''.join(c if c.isprintable() else ' ' for c in x) for x in last]
    return '\n    '.join([f'failed with status {status}, see {log}', *plain])
  write_whole(cell.folder / _MARKER, cell.config.to_json(indent=2))
  return f'{time.monotonic() - began:.0f} s'


def finished(cell: Cell) -> bool:
  """Whether its trainer ended well, with the very config that it has now."""
  marker = cell.folder / _MARKER
  return marker.exists() and (
    json.loads(marker.read_text('utf-8')) == json.loads(cell.config.to_json())
  )


def plan(cell: Cell) -> dict:
  """A cell's line before anything runs."""
  done = sum('loss' in row for row in rows_of(cell.folder, 'metrics'))
  state = 'finished' if finished(cell) else 'to resume' if done else 'new'
  steps = f'{done} of {cell.config.steps}'
  return {**cell.values, 'state': state, 'steps': steps,
          'folder': cell.folder.name}  # fmt: skip


def outcome(cell: Cell) -> dict:
  """A cell's line of the table: its values, and what they led to."""
  rows = rows_of(cell.folder, 'metrics')
  numbers = lambda name: [r[name] for r in rows if r.get(name) is not None]
  state = 'finished' if finished(cell) else 'failed'
  line = {**cell.values, 'state': state, 'steps': len(numbers('loss'))}
  rewards = tuple(f'eval/{name}/' for name in cell.config.rewards)
  for name in dict.fromkeys(name for row in rows for name in row):
    if f'{name}/'.startswith(rewards) and (values := numbers(name)):
      line |= {f'{name}, first': values[0], f'{name}, last': values[-1]}
  for name, heading, which in _SHOWN:
    if values := numbers(name):
      width = -(-len(values) // 10)
      means = np.convolve(values, np.full(width, 1 / width), 'valid')
      of = {'first': means[0], 'best': means.max(), 'last': means[-1]}
      line |= {f'{heading}, {when}': float(of[when]) for when in which}
  return line


def markdown(table: list[dict]) -> str:
  """The table for a terminal, or a README."""
  show = lambda x: f'{x:.4g}' if isinstance(x, float) else str(x)
  columns = _columns(table)
  lines = [columns, ['---'] * len(columns)]
  lines += [[show(line.get(name, '–')) for name in columns] for line in table]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _columns(table: list[dict]) -> list[str]:
  return list({name: None for line in table for name in line})


def _as_csv(table: list[dict]) -> str:
  text = io.StringIO()
  writer = csv.DictWriter(text, _columns(table), lineterminator='\n')
  writer.writeheader()
  writer.writerows(table)
  return text.getvalue()


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    description='A run for every cell of a grid.', allow_abbrev=False
  )
  parser.add_argument('--config', required=True, help='FILE.py[:ARGUMENT]')
  parser.add_argument('--workdir', required=True, help='folder of the sweep')
  parser.add_argument('--grid', required=True, help="'field=value,value; ...'")
  parser.add_argument('--plan', action='store_true', help='train nothing')
  return parser


if __name__ == '__main__':
  sys.exit(main())
