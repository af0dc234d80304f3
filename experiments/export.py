"""Exports the model of a run, from any of its checkpoints, as a Hugging Face
folder, or its rollout as a program that needs jax alone.

    python -m experiments.export --workdir=runs/hrpo --to=DIR [--step=N|best]
    python -m experiments.export --workdir=runs/hrpo --to=DIR --rollout

Adapters are merged. The folder appears whole or not at all. The default is the
newest step; `best` is the step with the highest metric config.checkpoint.best.

--rollout writes rollout.stablehlo, the jitted sampling of completions with the
feedback of the run, for CPU, CUDA and TPU and any number of prompts;
rollout.json, its shapes and settings; and arrays.safetensors, the weights and
settings, which are its first argument. examples/exported_rollout.py runs it.
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
  add('--rollout', action='store_true', help='the rollout instead of the model')
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

import jax
import jax.numpy as jnp
from safetensors.numpy import save_file

from hybrid_latent import sharding
from hybrid_latent.exported import exported_rollout
from hybrid_latent.formats.export import new_folder
from hybrid_latent.formats.weights import on_host
from hybrid_latent.ops.sampling import sampling

from . import PACKAGE
from .fields.eval_datasets import has_test_rows
from .report.run_folders import run_info
from .report.tables import read_rows
from .training.actor import export_model, feedback_of, load_actor
from .training.model_card import evaluation_options
from .training.sampler import merged_for_decoding
from .training.trained_run import open_run


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  to = Path(flags.to)
  if flags.rollout:
    step = export_rollout(flags.workdir, flags.step, to)
    print(
      f'wrote the rollout of step {step} of {flags.workdir} to {to}; '
      'examples/exported_rollout.py runs it'
    )
    return
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


def export_rollout(workdir: str, which: str, to: Path) -> int:
  """Writes the rollout of a run into the folder `to`, one completion per
  prompt, and returns the step."""
  _check_folders(workdir, to)
  run = open_run(workdir, which)
  config, rollout = run.config, run.config.rollout
  mesh = sharding.mesh(devices=jax.devices()[:1])
  actor = load_actor(config, mesh, run.init_key)
  made = exported_rollout(
    merged_for_decoding(run.restored(actor.policy)),
    feedback_of(config.feedback),
    sampling=sampling(**rollout.sampling),
    stop=actor.stop,
    prompt_length=rollout.max_prompt_length,
    max_steps=rollout.max_completion_length,
    cache_stages=rollout.cache_stages,
  )
  (inputs, *others), _ = made.program.in_tree.unflatten(made.program.in_avals)
  names = 'tokens', 'mask', 'ids', 'key_data'
  facts = {
    'workdir': workdir,
    'step': run.step,
    'model': config.model.source,
    'family': actor.base.config.family,
    'feedback': config.feedback.to_dict(),
    'sampling': rollout.sampling.to_dict(),
    'max_prompt_length': rollout.max_prompt_length,
    'max_completion_length': rollout.max_completion_length,
    'stop_ids': actor.stop.stop_ids.tolist(),
    'pad_id': actor.pad_id,
    'platforms': made.program.platforms,
    'arguments': {'arrays': _described(inputs)}
    | _described(dict(zip(names, others, strict=True))),
    'results': _described(
      made.program.out_tree.unflatten(made.program.out_avals)
    ),
    'jax': jax.__version__,
  }
  with new_folder(to) as folder:
    (folder / 'rollout.stablehlo').write_bytes(made.program.serialize())
    (folder / 'rollout.json').write_text(json.dumps(facts, indent=2) + '\n')
    arrays = {name: on_host(jnp.asarray(x)) for name, x in made.arrays.items()}
    save_file(arrays, folder / 'arrays.safetensors')
  return run.step


def _described(arrays: dict) -> dict[str, str]:
  """The shapes as JSON, as in int32[u,128]."""
  return {name: x.str_short() for name, x in arrays.items()}


if __name__ == '__main__':
  main()
