"""The studies of the papers' claims: their costs and states, and the board.

    python -m experiments.studies --list
    python -m experiments.studies --all --hours=3 [--jobs=2]
    python -m experiments.studies --record [NAME ...]
    python -m experiments.studies --board

--list prints each study with its claims, cost and state. --all runs all that
are not complete, one after another, each with --jobs processes, in
WORKDIR/NAME; what the hours do not suffice for resumes with the same command.
--record copies the rows of the named or of all studies from WORKDIR to
experiments/results/raw/studies, and --board writes the board of RESULTS.md,
docs/what_latents_do.md and the figures from these files alone.
"""

from hybrid_latent.ranges import PositiveFloat, PositiveInt

from ..fields.accepted import Folder
from ..training import cli

NAMES = 'states', 'hyrea', 'hrpo', 'soft_tokens', 'lrt', 'methods'


def _parser() -> cli.Parser:
  parser = cli.Parser('studies', __doc__)
  add = parser.add_argument
  add(
    '--workdir',
    default='runs/studies',
    type=cli.value(Folder),
    help='folder of the runs',
  )
  what = parser.add_mutually_exclusive_group(required=True)
  one = what.add_argument
  one('--list', action='store_true', help='print costs and states')
  one('--all', action='store_true', help='run all')
  one('--record', nargs='*', choices=NAMES, help='keep the rows of runs')
  one('--board', action='store_true', help='write the board of RESULTS.md')
  hours = cli.value(PositiveFloat)
  add('--hours', type=hours, default=24.0, help='of --all')
  count = cli.value(PositiveInt)
  add('--jobs', type=count, default=1, help='processes per study')
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  FLAGS = _parser().parse_args()

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

from .. import PACKAGE
from ..report.tables import markdown_table, write_atomic
from .board import FIGURES, PAGE, RESULTS, write_board
from .study import RAW, Study, cell_file, recorded_rows, rows_in


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  studies, workdir = load_studies(), Path(FLAGS.workdir)
  if FLAGS.list:
    print(markdown_table([state(study, workdir) for study in studies]))
  elif FLAGS.all:
    run_all(studies, workdir, FLAGS.hours, FLAGS.jobs)
  elif FLAGS.board:
    write_board(studies)
    print(f'wrote {RESULTS}, {PAGE} and {FIGURES}')
  else:
    names = FLAGS.record or NAMES
    record([study for study in studies if study.name in names], workdir)


def load_studies() -> list[Study]:
  """All studies, in the order of NAMES."""
  modules = (importlib.import_module(f'.{x}', __package__) for x in NAMES)
  return [module.STUDY for module in modules]


def state(study: Study, workdir: Path) -> dict:
  """The row of a study in the list."""
  cells, recorded = [*study.cells(study.seeds)], recorded_rows(study)
  complete = sum(cell_file(workdir / study.name, x).exists() for x in cells)
  return {
    'study': study.name,
    'claims': ', '.join(map(str, study.verdicts)),
    'core minutes': study.core_minutes,
    'cells complete': f'{complete} of {len(cells)}',
    'recorded': f'{len({row["cell"] for row in recorded})} cells',
    'about': study.about,
  }


def run_all(
  studies: list[Study], workdir: Path, hours: float, jobs: int
) -> None:
  """Runs the commands of the studies until the hours are over."""
  end = time.monotonic() + 3600 * hours
  for study in studies:
    name = study.name
    command = [sys.executable, '-m', f'{PACKAGE}.studies.{name}']
    command += [f'--workdir={workdir / name}', f'--seeds={study.seeds}']
    parts = [
      subprocess.Popen([*command, f'--part={i}/{jobs}']) for i in range(jobs)
    ]
    try:
      for part in parts:
        part.wait(max(end - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
      print(f'{name}: the hours are over; the same command resumes it')
      return
    finally:
      for part in parts:
        part.terminate()
        part.wait()
  print(markdown_table([state(study, workdir) for study in studies]))


def record(studies: list[Study], workdir: Path) -> None:
  """Keeps the rows of the complete cells of each study that has some."""
  RAW.mkdir(parents=True, exist_ok=True)
  for study in studies:
    if not (workdir / study.name).exists():
      continue
    rows = rows_in(workdir / study.name, study, study.seeds)
    path = RAW / f'{study.name}.jsonl'
    lines = (json.dumps(x, separators=(',', ':')) + '\n' for x in rows)
    write_atomic(path, ''.join(lines))
    print(f'wrote {path}: {len(rows)} rows')


if __name__ == '__main__':
  main()
