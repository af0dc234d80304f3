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

import shlex

from hybrid_latent import sharding

from . import PACKAGE
from .fields.eval_datasets import has_test_rows
from .report.run_folders import run_info
from .report.tables import read_rows
from .training.actor import export_model, load_actor
from .training.model_card import evaluation_options
from .training.trained_run import open_run


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
  if not run_info(workdir):
    return ''
  run = open_run(workdir, str(step))
  if not has_test_rows(run.config.data):
    return ''
  words = [
    *('python', '-m', f'{PACKAGE}.{run.trainer}'),
    f'--config=saved:{_absolute(workdir)}/config.json',
    *(f'--config.model.source={model.resolve()}', '--config.max_steps=0'),
    *evaluation_options(run.config),
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
  run = open_run(workdir, which)
  mesh = sharding.mesh(data=1, fsdp=-1)
  actor = load_actor(run.config, mesh, run.init_key)
  policy = run.restored(actor.policy)
  metrics = _metrics_at(workdir, run.step)
  export_model(actor, policy, to, run.config, run.step, metrics)
  return run.step


if __name__ == '__main__':
  main()
