r"""Trains every configuration of a grid, and compares them on one page.

    python -m experiments.sweep --workdir=runs/sweep --config.steps=40 \
        --config=experiments/configs/rl_arithmetic.py:runs/sft/model,hrpo \
        --grid="config.feedback.initial.r_min=0.95,0.98,0.99; config.seed=0,1"

A grid names fields and their values: `argument` for what stands behind the
colon of --config, `config` for the whole of it. A semicolon ends a field;
commas separate its values, or bars where it has one. In `argument` and `config`
a comma is a part of the value, and only bars separate. Nothing does within
brackets, or within quotes around a value:

    --grid="argument=MODEL,hrpo|MODEL,direct; config.data.system='Think; say'"
    --grid="config=grpo.py:MODEL|hrpo.py:MODEL; config.seed=0,1"

A cell runs without the fields, swept or not, that only other cells' configs
have. --zip, written the same, takes the first values together, then the second
ones. --list=FILE has a row a cell, JSON Lines or CSV. All that is given is
multiplied, and each may be given more than once. Other options that begin with
--config. hold for every cell. Nothing runs before all of it is checked.

Instead, Optuna may choose the values by what became of earlier ones:

    --search="config.optimizer.groups.lora.lr=1e-6..1e-4:log" --trials=20 \
        --metric=eval/accuracy

A cell is a run of the trainer with a folder of its own under WORKDIR/cells: on
this machine, --jobs at a time, or with --executor=slurm or sky on others, whose
options are those of --machine ("partition=gpu,gpus_per_node=8,time=600").
Ctrl-C lets the cells of this machine save and end (exit code 130), Ctrl-C again
kills them. The same command goes on with a sweep that was stopped: what is
finished is left alone, what runs is followed, what was told to end resumes.
--plan shows the cells; --plan=compile also which of them compile the same and
what a device has to hold, here or on a --target that is not there, in minutes;
--dry-run shows what would be started. None starts it. Ends with
WORKDIR/table.csv, curves.png and report.html, and with exit code 1 if a cell
failed.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hybrid_latent.ranges import NonNegativeInt, PositiveInt

from ..fields.accepted import Folder
from ..fields.check import check
from ..training.cli import Parser, report_errors, value
from .grid import Cell, Point, cells, points


def _parser() -> Parser:
  parser = Parser('sweep', __doc__)
  add, count = parser.add_argument, value(PositiveInt)
  add('--config', help='FILE.py[:ARGUMENT]')
  add(
    '--workdir', required=True, type=value(Folder), help='folder of the sweep'
  )
  add('--trainer', default='grpo', choices=('grpo', 'lrt', 'sft'))
  for name, text in (
    ('--grid', "'field=value,value; ...', every combination"),
    ('--zip', "'field=value,value; ...', taken together"),
    ('--list', 'FILE.jsonl or FILE.csv, a row a cell'),
  ):
    add(name, action='append', default=[], help=text)
  add('--search', help="'field=LOW..HIGH[:log or :STEP]; field=value,value'")
  add('--trials', type=count, default=20, help='of the search')
  add('--metric', default='reward', help='its last value is what counts')
  add('--minimize', action='store_true', help='the less of it, the better')
  add(
    '--executor',
    choices=('local', 'slurm', 'sky'),
    default='local',
    help='where to run',
  )
  add('--machine', default='', help="'key=value,key=value' for the executor")
  add('--remote', default='', help='folder of the runs, such as gs://...')
  add('--jobs', type=count, help='cells that run at a time')
  add(
    '--retries',
    type=value(NonNegativeInt),
    default=100,
    help='of a cell that was ended',
  )
  add(
    '--plan',
    nargs='?',
    const='cells',
    choices=('cells', 'compile'),
    help='show the cells, or what they compile to; train nothing',
  )
  add('--target', default='', help='of --plan: see experiments/aot/targets.py')
  add('--dry-run', action='store_true', help='show what would be started')
  return parser


def _cells(flags: argparse.Namespace, fixed: list[str]) -> list[Cell]:
  """Those of a grid, none yet of a search. ValueError for options that cannot
  be."""
  given = flags.grid, flags.zip, flags.list
  if bool(flags.search) == any(given):
    raise ValueError('write --grid, --zip and --list, or else --search')
  if flags.search and (flags.plan or flags.dry_run):
    raise ValueError('--search chooses its cells as it goes: drop --plan')
  if flags.executor == 'sky' and not flags.remote:
    raise ValueError('--executor=sky: write --remote=gs://BUCKET/FOLDER')
  if Path(flags.workdir).is_file():
    raise ValueError(f'--workdir: {flags.workdir} is a file: write a folder')
  return [] if flags.search else _made(flags, fixed, points(*given))


def _made(
  flags: argparse.Namespace, fixed: list[str], some: Sequence[Point]
) -> list[Cell]:
  """The cells of these points, checked."""
  folder = Path(flags.workdir) / 'cells'
  found = cells(flags.config, some, fixed, folder, flags.remote)
  for cell in found:
    check(cell.config, flags.trainer)
  return found


if __name__ == '__main__':  # before the imports: --help takes a second
  with report_errors():
    _cells(*_parser().parse_known_args())

import shlex
import signal
import sys
from functools import partial

import jax

from hybrid_latent.cluster import RESTART

from .. import PACKAGE
from ..launch.recipes import machine
from ..report.tables import markdown_table, read_rows
from .comparison import compared
from .executors import EXECUTORS
from .scheduler import Setup, command, finished, followed
from .search import Search


@report_errors()
def main() -> int:
  """The command; its exit code."""
  try:
    return swept(*_parser().parse_known_args())
  except KeyboardInterrupt:
    return 130


class Terminated(KeyboardInterrupt):
  """SIGTERM, or the terminal has gone."""


def swept(flags: argparse.Namespace, fixed: list[str]) -> int:
  """The sweep of these options; its exit code."""
  every = _cells(flags, fixed)
  for cell in every:
    if cell.without:
      names = ', '.join(cell.without)
      print(f'{cell.label}: runs without {names}: its config has no such field')
  if flags.plan:
    if flags.plan == 'compile' or flags.target:
      print(plan(every, flags.trainer, flags.target))
    else:
      print(
        f'{markdown_table([*map(_line, every)])}\n\n{len(every)} cells; '
        '--plan=compile compiles them, and says what a device has to hold'
      )
    return 0
  setup = Setup(
    EXECUTORS[flags.executor](machine(flags.machine), flags.retries),
    *(flags.executor, flags.trainer, flags.retries),
    flags.jobs or (1 if flags.search or flags.executor == 'local' else 1000),
  )
  if flags.dry_run:
    for cell in every:
      print(f'# {cell.label}')
      print(setup.executor.shown(command(cell, setup), cell.folder))
    return 0
  try:
    if flags.search:
      searched(flags, partial(_made, flags, fixed), setup, every)
    else:
      for _ in followed(every, len(every), setup):
        pass
  except KeyboardInterrupt as stopped:
    print(interrupted(every), file=sys.stderr)
    return RESTART if isinstance(stopped, Terminated) else 130
  print(compared(every, Path(flags.workdir)))
  return 0 if all(map(finished, every)) else 1


def interrupted(cells: Sequence[Cell]) -> str:
  """What is finished when a sweep is stopped, and how it goes on."""
  over = [cell.label for cell in cells if finished(cell)]
  again = shlex.join(['python', '-m', f'{PACKAGE}.sweep', *sys.argv[1:]])
  told = f': {"; ".join(over)}' if over else ''
  return (
    f'{len(over)} of {len(cells)} cells are finished{told}\nThe same command '
    f'goes on:\n  {again}'
  )


def searched(
  flags: argparse.Namespace,
  made: Callable[[Sequence[Point]], list[Cell]],
  setup: Setup,
  found: list[Cell],
) -> None:
  """Runs the cells of a search, and puts them in `found` as they begin."""
  search = Search(
    flags.search, Path(flags.workdir), flags.metric, flags.minimize
  )
  trials: dict[Path, int] = {}

  def chosen() -> Iterator[Cell]:
    for number, point in search.points(flags.trials):
      (cell,) = made([point])
      folder = cell.folder.with_name(f'trial={number},{cell.folder.name}')
      found.append(cell._replace(label=f'trial {number}', folder=folder))
      trials[folder] = number
      yield found[-1]

  for cell, status in followed(chosen(), flags.trials, setup):
    if status == 0:
      search.tell(trials[cell.folder], cell)


def plan(every: Sequence[Cell], trainer: str, where: str) -> str:
  """The cells before anything runs, what they compile for that machine, and
  what a device of it has to hold."""
  from ..aot.forecast import (
    planned,  # which brings the trainers along
  )
  from ..aot.targets import GIB, target

  devices = target(where).devices if where else jax.devices()
  kind = where or devices[0].device_kind
  names: dict[str, str] = {}
  table = []
  for number, cell in enumerate(every, 1):
    print(
      f'[{number}/{len(every)}] {cell.label}: compiling for {kind}, which '
      'takes a minute or more; nothing runs',
      file=sys.stderr,
      flush=True,
    )
    programs, held = planned(cell.config, trainer, devices)
    names.setdefault(programs, f'#{len(names) + 1}')
    found = {'programs': names[programs], 'GiB a device': held / GIB}
    table.append(_line(cell, found))
  told = f'{len(every)} cells, {len(names)} different, on {len(devices)} {kind}'
  return f'{markdown_table(table)}\n\n{told}'


def _line(cell: Cell, found: dict | None = None) -> dict:
  """A cell before it runs, and what was found of it."""
  done = sum('loss' in row for row in read_rows(cell.run, 'metrics'))
  return {
    **cell.values,
    'state': 'finished' if finished(cell) else 'to resume' if done else 'new',
    'steps': f'{done} of {cell.config.steps}',
    **(found or {}),
    'folder': cell.folder.name,
  }


def _terminated(*_) -> None:
  raise Terminated


if __name__ == '__main__':
  for name in signal.SIGTERM, signal.SIGHUP:
    if signal.getsignal(name) is not signal.SIG_IGN:  # as nohup wants it
      signal.signal(name, _terminated)
  sys.exit(main())
