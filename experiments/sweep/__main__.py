r"""Trains every config of a grid and compares the runs on one page.

    python -m experiments.sweep --workdir=runs/sweep --config.max_steps=40 \
        --config=rl_arithmetic:runs/sft/model,hrpo \
        --grid="config.feedback.init_kwargs.r_min=0.95,0.99; config.seed=0,1"

Each combination of values is a cell, one run of the trainer. A grid has fields
and their values: `argument` is the text after the colon of --config, `config`
all of it. A semicolon ends a field; commas separate its values, or bars where
it has one. In `argument` and `config` a comma belongs to the value, and only
bars separate. Within brackets, or within quotes around a value, nothing
separates:

    --grid="argument=MODEL,hrpo|MODEL,direct; config.data.system_prompt='a; b'"
    --grid="config=grpo_gsm8k:MODEL|hrpo_gsm8k:MODEL; config.seed=0,1"

A cell runs without the fields, swept or not, that only the configs of other
cells have. --zip, in the same grammar, combines the first values of all fields,
then the second values. --list=FILE has one row per cell, in JSON Lines or CSV.
All of these are multiplied, and each may be repeated. Other options that begin
with --config. apply to every cell. All cells are checked before the first run.

Instead, Optuna can choose the values by the metric of earlier cells:

    --search="config.optimizer.groups.lora.lr=1e-6..1e-4:log" --trials=20 \
        --metric=eval/accuracy

A cell runs in a folder of its own under WORKDIR/cells: on this machine, --jobs
at a time, or with --executor=slurm or sky on others, with the options --machine
("partition=gpu,gpus_per_node=8,time=600"). At Ctrl-C the cells of this machine
save and end (exit code 130); a second Ctrl-C kills them.
The same command resumes a sweep: finished cells do not run again, running jobs
are followed, preempted cells resume. --plan lists the cells; --plan=compile
also shows which of them share compiled programs and the memory per device, here
or on a --target that is not at hand, in minutes; --dry-run prints the commands.
None of them trains. Writes WORKDIR/table.csv, curves.png and report.html; the
exit code is 1 if a cell failed.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hybrid_latent.ranges import NonNegativeInt, PositiveInt

from ..fields.accepted import Folder
from ..fields.check import check
from ..training.cli import Parser, report_errors, value
from .grid import Cell, Point, grid_points, make_cells


def _parser() -> Parser:
  parser = Parser('sweep', __doc__)
  add, count = parser.add_argument, value(PositiveInt)
  add('--config', help='FILE.py[:ARGUMENT]')
  add(
    '--workdir', required=True, type=value(Folder), help='folder of the sweep'
  )
  add(
    '--trainer',
    default='grpo',
    choices=('grpo', 'lrt', 'sft'),
    help='of the config',
  )
  for name, text in (
    ('--grid', "'field=value,value; ...', every combination"),
    ('--zip', "'field=value,value; ...', combined in order"),
    ('--list', 'FILE.jsonl or FILE.csv, one row per cell'),
  ):
    add(name, action='append', default=[], help=text)
  add('--search', help="'field=LOW..HIGH[:log or :STEP]; field=value,value'")
  add('--trials', type=count, default=20, help='of the search')
  add('--metric', default='reward', help='whose last value is maximized')
  add('--minimize', action='store_true', help='minimize --metric instead')
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
    help='of a preempted cell',
  )
  add(
    '--plan',
    nargs='?',
    const='cells',
    choices=('cells', 'compile'),
    help='list the cells, or compile them; train nothing',
  )
  add('--target', default='', help='machine of --plan, see aot/targets.py')
  add('--dry-run', action='store_true', help='print the commands')
  return parser


def _cells(flags: argparse.Namespace, fixed: list[str]) -> list[Cell]:
  """The cells of a grid; none of a search, which makes its cells later.
  ValueError for options that exclude each other."""
  given = flags.grid, flags.zip, flags.list
  if bool(flags.search) == any(given):
    raise ValueError('write --grid, --zip and --list, or else --search')
  if flags.search and (flags.plan or flags.dry_run):
    raise ValueError('--search chooses its cells as it goes: drop --plan')
  if flags.executor == 'sky' and not flags.remote:
    raise ValueError('--executor=sky: write --remote=gs://BUCKET/FOLDER')
  if Path(flags.workdir).is_file():
    raise ValueError(f'--workdir: {flags.workdir} is a file: write a folder')
  return (
    [] if flags.search else _checked_cells(flags, fixed, grid_points(*given))
  )


def _checked_cells(
  flags: argparse.Namespace, fixed: list[str], some: Sequence[Point]
) -> list[Cell]:
  """The cells of these points, checked."""
  folder = Path(flags.workdir) / 'cells'
  found = make_cells(flags.config, some, fixed, folder, flags.remote)
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
from ..launch.recipes import parse_machine
from ..report.tables import markdown_table, read_rows
from .comparison import write_comparison
from .executors import EXECUTORS
from .scheduler import Setup, finished, run_cells, trainer_command
from .search import Search


@report_errors()
def main() -> int:
  """The command; its exit code."""
  try:
    return run_sweep(*_parser().parse_known_args())
  except KeyboardInterrupt:
    return 130


class Terminated(KeyboardInterrupt):
  """SIGTERM, or SIGHUP: the terminal was closed."""


def run_sweep(flags: argparse.Namespace, fixed: list[str]) -> int:
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
        '--plan=compile compiles them and shows the memory per device'
      )
    return 0
  setup = Setup(
    EXECUTORS[flags.executor](parse_machine(flags.machine), flags.retries),
    *(flags.executor, flags.trainer, flags.retries),
    flags.jobs or (1 if flags.search or flags.executor == 'local' else 1000),
  )
  if flags.dry_run:
    for cell in every:
      print(f'# {cell.label}')
      print(setup.executor.preview(trainer_command(cell, setup), cell.folder))
    return 0
  try:
    if flags.search:
      run_search(flags, partial(_checked_cells, flags, fixed), setup, every)
    else:
      for _ in run_cells(every, len(every), setup):
        pass
  except KeyboardInterrupt as stopped:
    print(interrupted(every), file=sys.stderr)
    return RESTART if isinstance(stopped, Terminated) else 130
  print(write_comparison(every, Path(flags.workdir)))
  return 0 if all(map(finished, every)) else 1


def interrupted(cells: Sequence[Cell]) -> str:
  """The cells that a stopped sweep has finished, and how to resume it."""
  done = [cell.label for cell in cells if finished(cell)]
  again = shlex.join(['python', '-m', f'{PACKAGE}.sweep', *sys.argv[1:]])
  names = f': {"; ".join(done)}' if done else ''
  return (
    f'{len(done)} of {len(cells)} cells are finished{names}\nThe same command '
    f'resumes:\n  {again}'
  )


def run_search(
  flags: argparse.Namespace,
  made: Callable[[Sequence[Point]], list[Cell]],
  setup: Setup,
  found: list[Cell],
) -> None:
  """Runs the cells of a search, and appends them to `found` as they begin."""
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

  for cell, status in run_cells(chosen(), flags.trials, setup):
    if status == 0:
      search.report(trials[cell.folder], cell)


def plan(every: Sequence[Cell], trainer: str, where: str) -> str:
  """The cells, with the programs that they compile for the machine `where` and
  the memory per device."""
  from ..aot.forecast import fingerprint_and_peak  # imports all trainers
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
    programs, peak = fingerprint_and_peak(cell.config, trainer, devices)
    names.setdefault(programs, f'#{len(names) + 1}')
    found = {'programs': names[programs], 'GiB per device': peak / GIB}
    table.append(_line(cell, found))
  counts = (
    f'{len(every)} cells, {len(names)} different, on {len(devices)} {kind}'
  )
  return f'{markdown_table(table)}\n\n{counts}'


def _line(cell: Cell, found: dict | None = None) -> dict:
  """The row of a cell before it runs, with the columns `found`."""
  done = sum('loss' in row for row in read_rows(cell.run, 'metrics'))
  return {
    **cell.values,
    'state': 'finished' if finished(cell) else 'to resume' if done else 'new',
    'steps': f'{done} of {cell.config.max_steps}',
    **(found or {}),
    'folder': cell.folder.name,
  }


def _terminated(*_) -> None:
  raise Terminated


if __name__ == '__main__':
  for name in signal.SIGTERM, signal.SIGHUP:
    if signal.getsignal(name) is not signal.SIG_IGN:  # nohup ignores it
      signal.signal(name, _terminated)
  sys.exit(main())
