"""Models of another project, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import QUICK

ROOT = Path(__file__).parents[1]
TRAINING_STACK = {
  *('absl', 'array_record', 'datasets', 'experiments', 'gguf', 'grain'),
  *('huggingface_hub', 'math_verify', 'ml_collections', 'optax', 'orbax'),
  *('safetensors', 'tensorboard', 'tensorflow', 'tensorflow_datasets'),
  *('tokenizers', 'torch', 'transformers'),
}


@pytest.fixture(scope='module')
def report(pytestconfig):
  path = os.pathsep.join([str(ROOT), str(ROOT / 'kernels')])
  result = subprocess.run(
    [sys.executable, '-W', 'error', ROOT / 'tests' / 'foreign_models.py'],
    env={
      **os.environ,
      'PYTHONPATH': path,
      # A folder of its own: that of conftest.py is bounded, hence locked.
      'JAX_COMPILATION_CACHE_DIR': str(pytestconfig.cache.mkdir('jax-foreign')),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.2',
      'XLA_FLAGS': ' '.join(f'--{name}={x}' for name, x in QUICK.items()),
    },
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr
  return json.loads(result.stdout)


@pytest.mark.parametrize('model', ['plain', 'linen'])
def test_it_samples_and_scores_like_ours(report, model):
  found = report['models'][model]
  for feedback in 'discrete', 'gated', 'prefix', 'soft':
    assert found[feedback]['gap'] < 1e-4
  for feedback in 'discrete', 'gated', 'prefix':
    assert found[feedback]['learns']
  assert found['discrete']['greedy'] == found['by the book']
  assert abs(found['gated']['score'] - found['discrete']['score']) > 0.1
  assert abs(found['prefix']['score'] - found['discrete']['score']) > 0.1
  assert found['discrete']['latent'] == 0 < found['gated']['latent'] < 1
  assert found['soft']['latent'] == pytest.approx(4 / 6)  # of the positions


def test_it_needs_nothing_of_the_training_stack(report):
  """Beyond what flax itself imports."""
  assert 'hybrid_latent' in report['brought']
  assert not TRAINING_STACK & set(report['brought'])
