"""Starts the runs of cells, follows them, and shows how they are."""

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

from ..fields.renamed import renamed_config
from ..report.tables import rows_of, write_whole
from .executors import LOG, Executor, State
from .grid import Cell

_JOB = 'job.json'  # of a cell: its job, and the config with which it runs
_MARKER = 'finished.json'  # of a cell: the config with which it ended


class Setup(NamedTuple):
  """How cells are run."""

  executor: Executor
  name: str  # of the executor
  trainer: str  # a module of experiments
  retries: int  # of a cell, after exit code 75
  jobs: int  # at a time


def followed(
  cells: Iterable[Cell], count: int, setup: Setup
) -> Iterator[tuple[Cell, State]]:
  """Runs cells to their ends; each as it ends, with its exit status. A cell
  that was finished before is not run. The next cell is taken when there is a
  place for it, so `cells` may depend on what became of earlier ones."""
  waiting, active = iter(cells), {}
  executor = setup.executor
  with board(count) as show:
    try:
      while True:
        while len(active) < setup.jobs and (cell := next(waiting, None)):
          if finished(cell):
            show(cell, 'was finished')
            yield cell, 0
            continue
          active[_adopted(cell, setup) or _started(cell, setup, 0)] = cell
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
          tries = _note(cell)['tries']
          if state == RESTART and tries < setup.retries:
            show(cell, f'was told to end, starts again ({tries + 1})')
            active[_started(cell, setup, tries + 1)] = cell
            continue
          if state == 0:
            write_whole(cell.folder / _MARKER, cell.config.to_json(indent=2))
          show(cell, 'finished' if state == 0 else _failure(cell, state))
          yield cell, state
        if active:
          time.sleep(executor.every)
    except BaseException:
      if active:
        told = executor.stop(tuple(active))
        print(f'{len(active)} of the runs {told}', file=sys.stderr)
      raise


def finished(cell: Cell) -> bool:
  """Whether its trainer ended well, with the very config that it has now."""
  marker = cell.folder / _MARKER
  return marker.exists() and (
    renamed_config(json.loads(marker.read_text('utf-8')))
    == json.loads(cell.config.to_json())
  )


@contextlib.contextmanager
def board(count: int):
  """A function (cell, what) that shows how a cell is: a table of all that were
  seen, on a terminal; else a line for what is new."""
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


def command(cell: Cell, setup: Setup) -> list[str]:
  """What trains a cell."""
  trainer = f'experiments.{setup.trainer}'
  workdir = f'--workdir={cell.run}'
  return [sys.executable, '-m', trainer, *cell.options, workdir]


def _started(cell: Cell, setup: Setup, tries: int) -> str:
  cell.folder.mkdir(parents=True, exist_ok=True)
  job = setup.executor.start(command(cell, setup), cell.folder)
  config = json.loads(cell.config.to_json())
  note = {'on': setup.name, 'job': job, 'tries': tries, 'config': config}
  write_whole(cell.folder / _JOB, json.dumps(note))
  return job


def _adopted(cell: Cell, setup: Setup) -> str | None:
  """The job of an earlier sweep that runs, or has ended well since."""
  note = _note(cell)
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


def _note(cell: Cell) -> dict:
  path = cell.folder / _JOB
  return json.loads(path.read_text('utf-8')) if path.exists() else {}


def _failure(cell: Cell, state: State) -> str:
  """What is known of it, with the end of its log."""
  what = 'ended unseen' if state is None else f'failed with status {state}'
  if not (last := log_end(cell, 12)):
    return what
  return '\n    '.join([f'{what}, see {cell.folder / LOG}', *last])


def log_end(cell: Cell, count: int) -> list[str]:
  """The last lines of what its trainer printed that are not empty."""
  log = cell.folder / LOG
  lines = log.read_text('utf-8', 'replace').splitlines() if log.exists() else []
  # A model's text may be in it, and a terminal obeys some characters.
  plain = (''.join(c if c.isprintable() else ' ' for c in x) for x in lines)
  return [line for line in plain if line.strip()][-count:]


def _progress(cell: Cell) -> list[str]:
  """Steps, the last reward, seconds a step."""
  try:
    rows = [row for row in rows_of(cell.run, 'metrics') if 'loss' in row]
  except ValueError:  # the table at the end says what is wrong with it
    rows = []
  last = rows[-1] if rows else {}
  number = lambda name: f'{x:.3g}' if (x := last.get(name)) is not None else '–'
  steps = f'{len(rows)} of {cell.config.steps}'
  return [steps, number('reward'), number('time/step')]


def _table(seen: dict[str, list[str]]) -> Table:
  table = Table('cell', 'state', 'steps', 'reward', 's/step')
  for label, (what, *numbers) in seen.items():
    table.add_row(_plain(label), _plain(what.splitlines()[0]), *numbers)
  return table


def _plain(text: str) -> str:
  """Brackets would be markup."""
  return text.replace('[', r'\[')
