"""WORKDIR/config.json: the config and the versions that repeat a run."""

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax
from etils import epath

from ..fields.named import Config


def begin(config: Config, workdir: str, start: int) -> None:
  """Writes WORKDIR/config.json, unless the run is past config.max_steps, and
  prints the step from which it resumes, if `start` is not 0."""
  if start <= config.max_steps:
    write_run(config, workdir)
  if start and not jax.process_index():
    if start < config.max_steps:
      text = f'resumed from step {start}'
    else:
      text = f'already at step {start}, config.max_steps={config.max_steps}'
      text += ': nothing is trained'
    print(text, flush=True)


def write_run(config: Config, workdir: str) -> None:
  """Writes WORKDIR/config.json: the resolved config, the command, the versions
  and the devices."""
  if jax.process_index():
    return
  packages = 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint'
  about = {
    'config': json.loads(config.to_json_best_effort()),
    'command': sys.argv,
    'cwd': os.getcwd(),  # of its relative paths
    'path': _own_path(),
    'revision': revision(),
    'python': platform.python_version(),
    'versions': {name: metadata.version(name) for name in packages},
    'devices': [str(jax.device_count()), jax.devices()[0].device_kind],
    'processes': jax.process_count(),
  }
  folder = epath.Path(workdir)
  folder.mkdir(parents=True, exist_ok=True)
  part = folder / 'config.json.part'
  part.write_text(json.dumps(about, indent=2))
  part.replace(folder / 'config.json')


def revision() -> str:
  """The git commit of this code, with '+' where it was edited since; its
  version where it is installed and not checked out."""
  git = ['git', '-C', str(Path(__file__).parent)]
  run_git = lambda *words: subprocess.run(
    [*git, *words], capture_output=True, text=True
  )
  head = run_git('rev-parse', 'HEAD')
  # An installed copy may lie in the repository of another project.
  if run_git('ls-files', '--error-unmatch', __file__).returncode:
    return metadata.version('hybrid-latent')
  edited = run_git('status', '--porcelain', '--untracked-files=no').stdout
  return head.stdout.strip() + ('+' if edited else '')


def _own_path() -> list[str]:
  """The search path of modules without that of Python itself."""
  paths = map(os.path.abspath, sys.path)
  pythons = (*{sys.prefix, sys.base_prefix},)
  return [x for x in paths if not x.startswith(pythons)]
