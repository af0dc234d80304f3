"""The wheel as a new user has it: in an environment and a folder of its own."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.test_extras import base_install

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SOURCES = 'hybrid_latent', 'kernels', 'experiments', 'pyproject.toml'
NEW_MODEL = (
  *('--to=model', '--tokenizer=arithmetic:tokenizer', '--width=32'),
  *('--layers=1', '--heads=2', '--kv_heads=1', '--head_dim=16', '--mlp=32'),
)
OWN_PARTS = (
  '--config.feedback.function=my_package.idea:residual',
  '--config.feedback.init=my_package.idea:scale',
  r'--config.optimizer.groups.mine.pattern=^feedback\.',
  '--config.optimizer.groups.mine.lr=1e-2',
  '--config.rewards.mine.function=my_package.reward:right_and_short',
  '--config.rewards.mine.weight=1',
)
SMALL = (
  *(
    '--config.max_steps=2',
    '--config.eval.num_prompts=0',
    '--config.export=True',
  ),
  *(
    '--config.rollout.prompts_per_step=2',
    '--config.rollout.num_generations=4',
  ),
)
OWN_CONFIG = """
from hybrid_latent.experiments.configs import rl_arithmetic

def get_config(model):
  config = rl_arithmetic.get_config(f'{model},hrpo').unlock()
  config.max_steps = 7
  return config.lock()
"""
BASE = """
from importlib.util import find_spec
import hybrid_latent as hl

missing = 'experiments', 'ml_collections', 'transformers'
assert not any(map(find_spec, missing))
try:
  hl.pretrained('model')
except ModuleNotFoundError as error:
  print(error)
"""


def pip(*words):
  subprocess.run([sys.executable, '-m', 'pip', *words, '--quiet'], check=True)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  folder = tmp_path_factory.mktemp('wheel')
  for name in (*SOURCES, 'setup.py', 'README.md', 'LICENSE'):
    copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
    copy(ROOT / name, folder / 'source' / name)
  pip('wheel', '--no-deps', '--no-build-isolation', f'--wheel-dir={folder}',
      str(folder / 'source'))  # fmt: skip
  (found,) = folder.glob('*.whl')
  return found


def environment(folder: Path, wheel: Path) -> Path:
  """A new environment with the wheel and nothing else."""
  python = folder / 'env/bin/python'
  subprocess.run(
    [sys.executable, '-m', 'venv', '--without-pip', folder / 'env'], check=True
  )
  pip('--python', str(python), 'install', '--no-deps', str(wheel))
  return python


def output(python: Path, *words: str, cwd: Path, code: int = 0) -> str:
  kept = {'PATH': f'{python.parent}:{os.environ["PATH"]}'}
  done = subprocess.run(
    [*map(str, words)],
    cwd=cwd,
    env={'JAX_PLATFORMS': 'cpu', 'HOME': str(cwd)} | kept,
    capture_output=True,
    text=True,
  )
  assert done.returncode == code, done.stderr
  return done.stderr if code else done.stdout


def test_it_claims_no_name_but_ours(wheel):
  names = zipfile.ZipFile(wheel).namelist()
  assert {name.partition('/')[0].partition('-')[0] for name in names} == {
    *('hybrid_latent', 'latent_kernels')
  }
  inside = 'hybrid_latent/experiments'
  for name in (
    *('report/report.html', 'traces/page.js', 'launch/README.md'),
    'configs/rl.py',
  ):
    assert f'{inside}/{name}' in names
  assert 'hybrid_latent/py.typed' in names
  assert not [x for x in names if x.startswith(f'{inside}/results')]


def test_the_base_install_trains_a_plain_jax_model(wheel, tmp_path):
  python = environment(tmp_path, wheel)
  base_install(next((tmp_path / 'env').glob('lib/python*/site-packages')))
  told = output(python, python, '-c', BASE, cwd=tmp_path)
  assert ': pip install "hybrid-latent[train]", or' in told
  example = shutil.copy(ROOT / 'examples/rollout_in_your_project.py', tmp_path)
  told = output(python, python, example, cwd=tmp_path)
  assert told.startswith('mean reward ')


def test_a_package_of_ones_own_is_trained_by_config(wheel, tmp_path):
  python = environment(tmp_path, wheel)
  packages = next((tmp_path / 'env').glob('lib/python*/site-packages'))
  (packages / 'train_extra.pth').write_text(sysconfig.get_path('purelib'))
  mine = tmp_path / 'my_package'
  mine.mkdir()
  shutil.copy(ROOT / 'examples/new_feedback.py', mine / 'idea.py')
  shutil.copy(ROOT / 'examples/custom_reward.py', mine / 'reward.py')
  (tmp_path / 'mine.py').write_text(OWN_CONFIG)
  trainer = 'hybrid_latent.experiments.grpo'

  output(python, 'hybrid-latent', 'new_model', *NEW_MODEL, cwd=tmp_path)
  told = output(
    *(python, python, '-m', trainer, '--config=mine.py:model', '--help'),
    cwd=tmp_path,
  )
  assert f'usage: python -m {trainer} ' in told
  assert '--config.max_steps=7' in told
  told = output(
    *(python, 'hybrid-latent', 'grpo', '--config=mine.py:model'),
    *('--workdir=run', '--config.feedback.function=my_package.idea:nothing'),
    cwd=tmp_path,
    code=2,
  )
  assert told.endswith("my_package.idea has ['scale', 'residual']\n")
  told = output(
    *(python, python, '-m', trainer, '--workdir=run'),
    *('--config=rl_arithmetic:model,grpo', *OWN_PARTS, *SMALL),
    cwd=tmp_path,
  )
  assert 'python -m hybrid_latent.experiments.report --runs=run' in told
  about = json.loads((tmp_path / 'run/config.json').read_text())
  assert about['revision'] == wheel.name.split('-')[1]
  rows = (tmp_path / 'run/metrics.jsonl').read_text().splitlines()
  assert all('rewards/mine/mean' in json.loads(row) for row in rows)
  trained = load_file(tmp_path / 'run/model/feedback.safetensors')
  assert np.any(trained['scale'])
