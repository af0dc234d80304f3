"""The base install: what it can do, and what it says of the rest."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from hybrid_latent.extras import needs

ROOT = Path(__file__).parents[1]
IMPORTS = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
  try:
    importlib.import_module(name)
  except Exception as error:
    found[name] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


def test_a_package_that_is_missing_is_named_with_its_extra():
  needs('train', 'jax', 'flax')
  with pytest.raises(ModuleNotFoundError) as error:
    needs('train', 'jax', 'no_such_package')
  assert str(error.value) == (
    'no_such_package is not installed: pip install "hybrid-latent[train]", or '
    'in a checkout: pip install ".[train]"'
  )
  assert error.value.name == 'no_such_package'


def base_install(folder: Path) -> Path:
  """The packages of jax, flax and jaxtyping, and of what they need."""
  todo, done = ['jax', 'flax', 'jaxtyping'], set()
  while todo:
    if (name := todo.pop().lower().replace('_', '-')) in done:
      continue
    done.add(name)
    try:
      found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
      continue  # of another platform
    for part in {Path(file).parts[0] for file in found.files or ()} - {'..'}:
      link = folder / part
      if not link.exists() and part != '__pycache__':
        link.symlink_to(Path(str(found.locate_file(part))).resolve())
    needed = [line for line in found.requires or () if 'extra ==' not in line]
    todo += [re.split(r'[^\w.-]', line)[0] for line in needed]
  return folder


BASE = """
import rlcompleter, sys, hybrid_latent as hl
assert rlcompleter.Completer({'hl': hl}).complete('hl.pretr', 0) == (
  'hl.pretrained(')
try:
  hl.pretrained('model')
except ModuleNotFoundError as error:
  assert 'hybrid-latent[train]' in str(error)
else:
  sys.exit('no error')
"""


def test_names_and_commands_of_an_extra_in_the_base_install(tmp_path):
  paths = base_install(tmp_path), ROOT, ROOT / 'kernels'
  env = {'PYTHONPATH': os.pathsep.join(map(str, paths)), 'JAX_PLATFORMS': 'cpu'}
  python = [sys.executable, '-S']
  subprocess.run([*python, '-c', BASE], env=env, cwd=tmp_path, check=True)
  done = subprocess.run(
    [*python, '-m', 'experiments.grpo', '--help'],
    env=env,
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2 and done.stderr.count('\n') == 1
  assert 'is not installed: pip install "hybrid-latent[train]"' in done.stderr


@pytest.mark.slow
def test_every_module_works_in_the_base_install_or_names_its_extra(tmp_path):
  modules = [
    '.'.join(path.relative_to(ROOT).with_suffix('').parts)
    for path in sorted((ROOT / 'hybrid_latent').rglob('*.py'))
    if path.name != '__init__.py'
  ]
  paths = base_install(tmp_path), ROOT, ROOT / 'kernels'
  env = {'PYTHONPATH': os.pathsep.join(map(str, paths)), 'JAX_PLATFORMS': 'cpu'}
  done = subprocess.run(
    [sys.executable, '-S', '-c', IMPORTS, *modules],
    env=env,
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout)
  assert {name.split('.')[1] for name in found} == {
    *('data', 'formats', 'rewards', 'telemetry', 'trackers'),
  }
  for name, (kind, text) in found.items():
    assert kind == 'ModuleNotFoundError', name
    assert ': pip install "hybrid-latent[train]", or' in text, name
