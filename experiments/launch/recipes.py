"""Recipes for other machines: a script or a task file, and the command that
submits it.

All of them start one process per host, forward SIGTERM to the trainer, and
restart the same command when it ends with exit code 75: it has saved a
checkpoint, and resumes from it. Field names and flags are those of Slurm 22.05,
SkyPilot 0.14, XPK 1.16 and gcloud's `compute tpus tpu-vm ssh`.
"""

import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from hybrid_latent.cluster import RESTART

SIGNAL = 'TERM@120'  # to the trainer, two minutes before the time limit
_COORDINATOR_PORT = 8476  # the default of jax on a TPU


class Recipe(NamedTuple):
  """How to submit a run."""

  command: list[str]  # the last word is `file`, if there is one
  file: str  # its name, or ''
  text: str  # its contents


def parse_machine(text: str) -> dict[str, str]:
  """Key -> value, from 'partition=gpu,nodes=2'. Semicolons separate the pairs
  where a value has commas."""
  pairs = [x for x in text.split(';' if ';' in text else ',') if x.strip()]
  found = {}
  for pair in pairs:
    key, equals, value = map(str.strip, pair.partition('='))
    if not equals or not key.isidentifier():
      raise ValueError(f"--machine: {pair!r}: write 'key=value,key=value'")
    found[key] = value
  return found


def slurm(
  name: str, command: Sequence[str], on: Mapping[str, str], retries: int
) -> Recipe:
  """A batch script; `on` are options of sbatch."""
  options = {
    'job_name': name,
    'nodes': '1',
    'ntasks_per_node': '1',
    'output': f'{name}-%j.log',
    **on,
    'open_mode': 'append',  # a requeued job appends to its log
    'requeue': '',
    'signal': SIGNAL,  # to the tasks: only with B: the script would get it
  }
  lines = [f'--{key.replace("_", "-")}' + (f'={x}' if x else '')
           for key, x in options.items()]  # fmt: skip
  text = '\n'.join(
    [
      '#!/bin/bash',
      *(f'#SBATCH {line}' for line in lines),
      f'srun --kill-on-bad-exit=0 {shlex.join(command)}',
      *requeue(retries),
      '',
    ]
  )
  return Recipe(['sbatch', '--parsable', f'{name}.sbatch'], f'{name}.sbatch',
                text)  # fmt: skip


def requeue(retries: int) -> list[str]:
  """The lines of a batch script after its srun."""
  return [
    'status=$?',
    f'if [ $status -eq {RESTART} ] && '
    f'[ "${{SLURM_RESTART_COUNT:-0}}" -lt {retries} ]; then',
    '  scontrol requeue "$SLURM_JOB_ID"',
    'fi',
    'exit $status',
  ]


def sky(
  name: str, command: Sequence[str], on: Mapping[str, str], retries: int
) -> Recipe:
  """A task of SkyPilot for a managed job; `on` are its resources, and
  `num_nodes`."""
  del retries  # SkyPilot has no limit of restarts after an exit code
  resources = {key: yaml.safe_load(value) for key, value in on.items()}
  nodes = resources.pop('num_nodes', 1)
  tpu = str(resources.get('accelerators', '')).startswith('tpu')
  join = []
  if tpu:
    join = ['export HYBRID_LATENT_DISTRIBUTED=1']
  elif nodes > 1:
    join = [
      'first=$(head -n1 <<< "$SKYPILOT_NODE_IPS")',
      f'export JAX_COORDINATOR_ADDRESS=$first:{_COORDINATOR_PORT}',
      'export JAX_NUM_PROCESSES=$SKYPILOT_NUM_NODES',
      'export JAX_PROCESS_ID=$SKYPILOT_NODE_RANK',
    ]
  environment = 'tpu' if tpu else 'gpu'
  task = {
    'name': name,
    'workdir': '.',
    'num_nodes': nodes,
    'resources': {
      **resources,
      'job_recovery': {'recover_on_exit_codes': [RESTART]},
    },
    'setup': _lines(
      'pip install uv',
      'uv venv --allow-existing --python=3.12 .venv',
      f"uv pip install -e '.[train,{environment}]'",
    ),
    'run': _lines('source .venv/bin/activate', *join, shlex.join(command)),
  }
  text = yaml.dump(task, Dumper=_Dumper, sort_keys=False, width=1000)
  launch = ['sky', 'jobs', 'launch', '--yes', '--detach-run', f'--name={name}']
  return Recipe([*launch, f'{name}.yaml'], f'{name}.yaml', text)


def xpk(
  name: str, command: Sequence[str], on: Mapping[str, str], retries: int
) -> Recipe:
  """A workload on GKE; `on` are options of `xpk workload create`."""
  _needs('xpk', on, 'cluster')
  # exec: without it the shell would not forward SIGTERM.
  inner = f'exec {shlex.join(command)}'
  options = {
    'workload': name,
    **on,
    'env': 'HYBRID_LATENT_DISTRIBUTED=1',
    'max_restarts': str(retries),
    'restart_on_exit_codes': str(RESTART),
    'termination_grace_period_seconds': '120',
    'command': inner,
  }
  flags = [f'--{key.replace("_", "-")}={x}' for key, x in options.items()]
  return Recipe(['xpk', 'workload', 'create', *flags], '', '')


def gcloud(
  name: str, command: Sequence[str], on: Mapping[str, str], retries: int
) -> Recipe:
  """The same command on every host of the TPU VM `name`, which exists and has
  the project in ~/hybrid-latent; `on` are gcloud's options."""
  _needs('gcloud', on, 'zone')
  inner = (
    'cd ~/hybrid-latent && . .venv/bin/activate && '
    'export HYBRID_LATENT_DISTRIBUTED=1 && '
    f'for try in $(seq {retries + 1}); do {shlex.join(command)}; status=$?; '
    f'[ $status -eq {RESTART} ] || break; done; exit $status'
  )
  flags = [f'--{key.replace("_", "-")}={x}' for key, x in on.items()]
  return Recipe(
    ['gcloud', 'compute', 'tpus', 'tpu-vm', 'ssh', name, '--worker=all',
     *flags, f'--command={inner}'], '', '')  # fmt: skip


def submit(recipe: Recipe) -> subprocess.CompletedProcess:
  """Submits a recipe."""
  command = recipe.command
  with tempfile.TemporaryDirectory() as folder:
    if recipe.file:
      path = Path(folder) / recipe.file
      path.write_text(recipe.text, encoding='utf-8')
      command = [*command[:-1], str(path)]
    return subprocess.run(command)


def preview(recipe: Recipe) -> str:
  """The file, and the command that submits it, as text."""
  file = f'# {recipe.file}\n{recipe.text}\n' if recipe.file else ''
  return f'{file}{shlex.join(recipe.command)}'


RECIPES: dict[str, Callable[..., Recipe]] = {
  'slurm': slurm,
  'sky': sky,
  'xpk': xpk,
  'gcloud': gcloud,
}


def _needs(where, on, key):
  if key not in on:
    raise ValueError(f'--on={where}: write --machine="{key}=...,..."')


def _lines(*lines: str) -> str:
  return ''.join(f'{line}\n' for line in lines)


class _Dumper(yaml.SafeDumper):
  """Writes texts of several lines as blocks."""


_Dumper.add_representer(
  str,
  lambda dumper, text: dumper.represent_scalar(
    'tag:yaml.org,2002:str', text, style='|' if '\n' in text else None
  ),
)
