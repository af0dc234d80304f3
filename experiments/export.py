"""Exports the model of a run, from any of its checkpoints, as a Hugging Face
folder.

    python -m experiments.export --workdir=runs/hrpo --to=DIR [--step=N|best]

Adapters are merged. The folder appears whole or not at all. The default is the
newest step; `best` is the step with the highest metric config.checkpoint.best.
"""

from pathlib import Path

from .fields.accepted import Folder
from .training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('export', __doc__)
  add = parser.add_argument
  add('--workdir', required=True, type=cli.value(Folder), help='of the run')
  add('--to', required=True, type=cli.value(Folder), help='folder to write')
  add('--step', default='latest', help='a number, or best')
  return parser


def _check_folders(workdir: str, to: Path) -> None:
  if to.exists():
    raise FileExistsError(f'--to: {to} exists: write elsewhere')
  if '://' not in workdir and not Path(workdir, 'checkpoints').is_dir():
    raise ValueError(f'--workdir: {workdir} has no checkpoints')


if __name__ == '__main__':  # before the imports: --help takes a second
  FLAGS = _parser().parse_args()
  with cli.report_errors():
    _check_folders(FLAGS.workdir, Path(FLAGS.to))

import json
import shlex
from contextlib import closing

from hybrid_latent import sharding
from hybrid_latent.checkpoint import Checkpoints
from hybrid_latent.trees import combine, partition

from . import PACKAGE
from .fields.data_check import has_test_rows
from .report.run_folders import run_info
from .report.tables import read_rows
from .training.actor import export_model, load_actor
from .training.model_card import evaluation_options
from .training.saved import from_fields, relocated
from .training.setup import run_keys


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  to = Path(flags.to)
  step = export(flags.workdir, flags.step, to)
  print(
    f'wrote step {step} of {flags.workdir} to {to}; its README.md shows how to '
    f'load it\n{evaluation_command(flags.workdir, step, to)}'
  )


def evaluation_command(workdir: str, step: int, model: Path) -> str:
  """The command that evaluates an exported model as it was trained; '' where
  the run has no config.json, or its data no test rows."""
  if not (about := run_info(workdir)):
    return ''
  notes = Checkpoints(f'{workdir}/checkpoints').notes(step)
  config = relocated(from_fields(json.loads(notes['config'])), about)
  if not has_test_rows(config.data):
    return ''
  words = [
    *('python', '-m', f'{PACKAGE}.{notes["trainer"]}'),
    f'--config=saved:{_absolute(workdir)}/config.json',
    *(f'--config.model.source={model.resolve()}', '--config.max_steps=0'),
    *evaluation_options(config),
    f'--workdir={model.resolve()}-evaluation',
  ]
  return f'its evaluation:\n  {shlex.join(words)}'


def _metrics_at(workdir: str, step: int) -> dict:
  """The last value of each metric at a step."""
  found = {}
  for row in read_rows(workdir, 'metrics'):
    if row['step'] < step + ('loss' not in row):
      found |= row
  return found


def _absolute(folder: str) -> str:
  return folder if '://' in folder else str(Path(folder).resolve())


def export(workdir: str, which: str, to: Path) -> int:
  """Writes the folder `to` and returns the step. The trained arrays are read
  from the checkpoint, the rest of the model from config.model."""
  _check_folders(workdir, to)
  folder = f'{workdir}/checkpoints'
  if not (kept := Checkpoints(folder).steps):
    raise ValueError(f'--workdir: {workdir} has no checkpoints')
  # A step given by number may be whole where the newest is not.
  is_step = which in map(str, kept)
  newest = int(which) if is_step else Checkpoints(folder).latest or 0
  notes = Checkpoints(folder).notes(newest)
  config = from_fields(json.loads(notes['config']))
  config = relocated(config, run_info(workdir))
  best = config.checkpoint.get('best', '')
  with closing(Checkpoints(folder, best=best)) as checkpoints:
    named = {'latest': newest} | ({'best': checkpoints.best} if best else {})
    step = named.get(which) or (int(which) if which.isdecimal() else None)
    if step not in kept:
      raise ValueError(f'--step={which}: write one of {[*named, *kept]}')
    keys = run_keys(config.seed, notes['trainer'])
    actor = load_actor(config, sharding.mesh(data=1, fsdp=-1), keys.init)
    # Of a tuple, whose element 0 has the trained arrays.
    saved = checkpoints.names(step)
    trained, rest = partition(actor.policy, lambda name: f'0.{name}' in saved)
    (trained,) = checkpoints.restore(step, (trained,), partial=True)
  export_model(
    actor, combine(trained, rest), to, config, step, _metrics_at(workdir, step)
  )
  return step


if __name__ == '__main__':
  main()
