"""Starts the runs of cells, follows them, and shows their states."""

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from hybrid_latent.cluster import RESTART

from .. import PACKAGE
from ..fields.renamed import renamed_config
from ..report.tables import read_rows, write_atomic
from .executors import LOG, Executor, State
from .grid import Cell

_JOB = 'job.json'  # of a cell: its job and the config of that job
_MARKER = 'finished.json'  # of a finished cell: its config


class Setup(NamedTuple):
  """Where and how cells run."""

  executor: Executor
  name: str  # of the executor
  trainer: str  # a module of experiments
  retries: int  # of a cell, after exit code 75
  jobs: int  # at a time at most


def run_cells(
  cells: Iterable[Cell], count: int, setup: Setup
) -> Iterator[tuple[Cell, State]]:
  """Runs cells, and yields each with its exit status as it ends. A cell that
  was finished before does not run. The next cell is requested when a job is
  free, so `cells` may depend on the results of earlier ones."""
  waiting, active = iter(cells), {}
  executor = setup.executor
  with progress_board(count) as show:
    try:
      while True:
        # A job of an earlier sweep is adopted: it may have outlived that.
        while len(active) < setup.jobs and (cell := next(waiting, None)):
          if finished(cell):
            show(cell, 'was finished')
            yield cell, 0
            continue
          active[_running_job(cell, setup) or _submit(cell, setup, 0)] = cell
        if not active:
          return
        for job, state in zip(
          tuple(active), executor.states(tuple(active)), strict=True
        ):
          cell = active[job]
          if isinstance(state, str):
            show(cell, state)
            continue
          del active[job]
          tries = _read_job(cell)['tries']
          if state == RESTART and tries < setup.retries:
            show(cell, f'was preempted, starts again ({tries + 1})')
            active[_submit(cell, setup, tries + 1)] = cell
            continue
          if state == 0:
            # The config, so that a changed cell runs again.
            write_atomic(cell.folder / _MARKER, cell.config.to_json(indent=2))
          show(cell, 'finished' if state == 0 else _failure(cell, state))
          yield cell, state
        if active:
          time.sleep(executor.every)
    except BaseException:
      if active:
        outcome = executor.stop(tuple(active))
        print(f'{len(active)} of the runs {outcome}', file=sys.stderr)
      raise


def finished(cell: Cell) -> bool:
  """Whether its trainer finished, with the config that the cell has now."""
  marker = cell.folder / _MARKER
  return marker.exists() and (
    renamed_config(json.loads(marker.read_text('utf-8')))
    == json.loads(cell.config.to_json())
  )


@contextlib.contextmanager
def progress_board(count: int):
  """Yields a function (cell, state) that shows the state of a cell: in a table
  of all cells on a terminal, else as a line where the state is new."""
  console, seen = Console(), {}
  with contextlib.ExitStack() as stack:
    live = None
    if console.is_terminal:
      live = stack.enter_context(Live(console=console, auto_refresh=False))

    def show(cell: Cell, what: str) -> None:
      new = seen.get(cell.label, [''])[0] != what
      seen[cell.label] = [what, *_progress(cell)]
      if live:
        live.update(_table(seen), refresh=True)
        if new and '\n' in what:
          live.console.print(_plain(f'{cell.label}: {what}'))
      elif new:
        place = list(seen).index(cell.label) + 1
        steps, reward, _ = seen[cell.label][1:]
        done = f' ({steps} steps, reward {reward})' * (what == 'finished')
        print(f'[{place}/{count}] {cell.label}: {what}{done}', flush=True)

    yield show


def trainer_command(cell: Cell, setup: Setup) -> list[str]:
  """The command that trains a cell."""
  trainer = f'{PACKAGE}.{setup.trainer}'
  workdir = f'--workdir={cell.run}'
  return [sys.executable, '-m', trainer, *cell.options, workdir]


def _submit(cell: Cell, setup: Setup, tries: int) -> str:
  cell.folder.mkdir(parents=True, exist_ok=True)
  job = setup.executor.start(trainer_command(cell, setup), cell.folder)
  config = json.loads(cell.config.to_json())
  note = {'on': setup.name, 'job': job, 'tries': tries, 'config': config}
  write_atomic(cell.folder / _JOB, json.dumps(note))
  return job


def _running_job(cell: Cell, setup: Setup) -> str | None:
  """The job of an earlier sweep that still runs, or has finished since."""
  note = _read_job(cell)
  if note.get('on') != setup.name:
    return None
  (state,) = setup.executor.states([note['job']])
  config = json.loads(cell.config.to_json())
  same = renamed_config(note['config']) == config
  if isinstance(state, str) and not same:
    raise ValueError(
      f'{cell.folder} runs as job {note["job"]} with another config: cancel '
      'it, or wait for it'
    )
  return (
    note['job'] if same and (isinstance(state, str) or state == 0) else None
  )


def _read_job(cell: Cell) -> dict:
  path = cell.folder / _JOB
  return json.loads(path.read_text('utf-8')) if path.exists() else {}


def _failure(cell: Cell, state: State) -> str:
  """The exit status, with the end of the log."""
  what = 'ended unseen' if state is None else f'failed with status {state}'
  if not (last := log_end(cell, 12)):
    return what
  return '\n    '.join([f'{what}, see {cell.folder / LOG}', *last])


def log_end(cell: Cell, count: int) -> list[str]:
  """The last lines of its log that are not empty."""
  log = cell.folder / LOG
  lines = log.read_text('utf-8', 'replace').splitlines() if log.exists() else []
  # The log may have model outputs, whose control characters a terminal obeys.
  plain = (''.join(c if c.isprintable() else ' ' for c in x) for x in lines)
  return [line for line in plain if line.strip()][-count:]


def _progress(cell: Cell) -> list[str]:
  """Steps, the last reward, seconds per step."""
  try:
    rows = [row for row in read_rows(cell.run, 'metrics') if 'loss' in row]
  except ValueError:  # the comparison at the end raises it
    rows = []
  last = rows[-1] if rows else {}
  number = lambda name: f'{x:.3g}' if (x := last.get(name)) is not None else '–'
  steps = f'{len(rows)} of {cell.config.max_steps}'
  return [steps, number('reward'), number('time/step')]


def _table(seen: dict[str, list[str]]) -> Table:
  table = Table('cell', 'state', 'steps', 'reward', 's/step')
  for label, (what, *numbers) in seen.items():
    table.add_row(_plain(label), _plain(what.splitlines()[0]), *numbers)
  return table


def _plain(text: str) -> str:
  """Escapes brackets, which would be markup."""
  return text.replace('[', r'\[')
