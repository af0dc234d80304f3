"""What the studies of the papers' claims are made of.

A study is cells, each a few trainings and evaluations with one seed. A cell
writes its rows to WORKDIR/cells/NAME.jsonl once it is complete; the same
command runs those that are missing, and the trainings in them resume. The
verdict of a claim is a function of the rows, fixed before the runs.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..training import cli
from .parser import cells_parser

# Of one arm, seed, control and data set: {'cell', 'commit', 'arm', 'seed',
# 'control', 'dataset', ...}, the fields of `outcomes.rows_of`, and others.
Row = dict[str, Any]
RAW = Path(__file__).parents[1] / 'results' / 'raw' / 'studies'


class Verdict(NamedTuple):
  """What the rows of a study say about a claim."""

  ours: str  # the numbers, with interval, seeds and problems
  controls: str  # what could have refuted it, with its number
  verdict: Literal['shown', 'refuted', 'out of reach here']
  why: str = ''  # the ablation that refutes it; what it would take


class Cell(NamedTuple):
  """A part of a study that is run in one go."""

  name: str  # of its file
  run: Callable[[Path], list[Row]]  # WORKDIR -> its rows


class Study(NamedTuple):
  """Cells, and what their rows say about claims of the board."""

  name: str  # of its module and of its raw file
  about: str  # one sentence
  core_minutes: float  # of all cells, on one CPU core
  cells: Callable[[int], Iterator[Cell]]  # number of seeds -> in order
  verdicts: Mapping[int, Callable[[Sequence[Row]], Verdict]]  # by claim
  table: Callable[[Sequence[Row]], list[dict]]
  figure: Callable[[Sequence[Row], Path], None]  # writes FOLDER/NAME.png
  seeds: int = 3


@cli.report_errors()
def main(study: Study, about: str | None) -> None:
  """The command of a study."""
  from absl import logging

  from ..report.tables import markdown_table
  from ..training.compilation_cache import keep_compiled

  flags = cells_parser(study.name, about, study.seeds).parse_args()
  logging.set_verbosity(logging.WARNING)
  keep_compiled()
  workdir = Path(flags.workdir)
  first, step = flags.part
  for cell in [*study.cells(flags.seeds)][first::step]:
    run_cell(cell, workdir)
  rows = rows_in(workdir, study, flags.seeds)
  with suppress(MissingRowsError):  # another process runs the others
    study.figure(rows, workdir)
    print(f'\n{markdown_table(study.table(rows))}\n')
  print(f'wrote {workdir}/results.jsonl and {study.name}.png')
  for claim, verdict in verdicts(study, rows).items():
    print(f'claim {claim}: {verdict.verdict}: {verdict.ours}')


def run_cell(cell: Cell, workdir: Path) -> None:
  """Runs a cell that has no file yet, and writes it."""
  from ..report.tables import write_atomic
  from ..training.run_config import revision

  path = cell_file(workdir, cell)
  if path.exists():
    return
  print(f'{time.strftime("%H:%M:%S")} {cell.name}', flush=True)
  began = time.monotonic(), time.process_time()
  rows = cell.run(workdir)
  of_cell = {
    'cell': cell.name,
    'commit': revision(),
    'wall_seconds': round(time.monotonic() - began[0], 1),
    'cpu_seconds': round(time.process_time() - began[1], 1),
  }
  path.parent.mkdir(parents=True, exist_ok=True)
  lines = (
    json.dumps(of_cell | row, separators=(',', ':')) + '\n' for row in rows
  )
  write_atomic(path, ''.join(lines))


def cell_file(workdir: Path, cell: Cell) -> Path:
  """The file of its rows."""
  return workdir / 'cells' / f'{cell.name}.jsonl'


def rows_in(workdir: Path, study: Study, seeds: int) -> list[Row]:
  """The rows of all complete cells, which are also written to
  WORKDIR/results.jsonl."""
  from ..report.tables import write_atomic

  paths = [cell_file(workdir, cell) for cell in study.cells(seeds)]
  text = ''.join(path.read_text() for path in paths if path.exists())
  write_atomic(workdir / 'results.jsonl', text)
  return [json.loads(line) for line in text.splitlines()]


def recorded_rows(study: Study) -> list[Row]:
  """The rows of its raw file in the repository; none without one."""
  path = RAW / f'{study.name}.jsonl'
  text = path.read_text() if path.exists() else ''
  return [json.loads(line) for line in text.splitlines()]


def verdicts(study: Study, rows: Sequence[Row]) -> dict[int, Verdict]:
  """The verdict of each claim whose rows are there."""
  found = {}
  for claim, verdict in study.verdicts.items():
    try:
      found[claim] = verdict(rows)
    except MissingRowsError:
      continue
  return found


class MissingRowsError(LookupError):
  """A verdict needs rows of cells that are not complete."""


def select(rows: Sequence[Row], **values: Any) -> list[Row]:
  """The rows with these values, by seed; a tuple is several values.
  MissingRowsError without one."""
  fits = lambda row: all(
    row.get(name) in (value if isinstance(value, tuple) else (value,))
    for name, value in values.items()
  )
  found = sorted(filter(fits, rows), key=lambda row: row['seed'])
  if not found:
    raise MissingRowsError(f'no row has {values}')
  return found


def common(*groups: Sequence[Row]) -> list[list[Row]]:
  """The rows of the seeds that all groups have; MissingRowsError without
  one."""
  seeds = set.intersection(*({row['seed'] for row in x} for x in groups))
  if not seeds:
    raise MissingRowsError('no seed has all arms')
  return [[row for row in some if row['seed'] in seeds] for some in groups]
