"""A run that was stopped goes on as if it had not been."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.experiments import rl_tiny
from tests.experiments.runs import lines, saved, steps, timeless, trained

ROOT = Path(__file__).parents[2]
CACHE = (  # a process with another bound would break it for the others
  'jax_compilation_cache_dir',
  'jax_compilation_cache_max_size',
  'jax_persistent_cache_min_compile_time_secs',
)


def tiny(model_folder, **changes):
  config = rl_tiny.get_config(f'{model_folder},hrpo')
  config.eval.num_prompts = 3
  config.update_from_flattened_dict(changes)
  return config


@pytest.fixture(scope='module')
def half(model_folder, tmp_path_factory):
  """Two steps, and what a third leaves behind that is killed in the middle of
  its checkpoint and of a line."""
  folder = tmp_path_factory.mktemp('half')
  trained(tiny(model_folder, max_steps=2), folder)
  checkpoints = folder / 'checkpoints'
  begun = checkpoints / '3.orbax-checkpoint-tmp'
  shutil.copytree(checkpoints / '2', begun)
  (begun / 'state' / '_METADATA').unlink()
  with (folder / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 2, "loss": 99.0}\n{"step": 3, "lo')
  with (folder / 'completions.jsonl').open('a') as file:
    file.write('{"step": 2, "prompt": "?"}\n')
  return folder


@pytest.fixture
def workdir(half, tmp_path):
  """A copy of it to go on in."""
  return Path(shutil.copytree(half, tmp_path / 'run'))


def test_a_resumed_run_equals_one_that_was_never_stopped(
  workdir, hrpo, model_folder
):
  trained(tiny(model_folder), workdir)
  for name in ('metrics.jsonl', 'completions.jsonl'):
    ours, theirs = lines(workdir / name), lines(hrpo.folder / name)
    assert timeless(ours) == timeless(theirs)
  after, expected = saved(workdir, 4), saved(hrpo.folder, 4)
  assert after.keys() == expected.keys()
  for name, x in expected.items():
    np.testing.assert_array_equal(after[name], x)
  kept = sorted(path.name for path in (workdir / 'checkpoints').iterdir())
  assert kept == ['3', '4']


@pytest.mark.slow
def test_the_command_resumes_on_another_number_of_devices(
  workdir, hrpo, model_folder
):
  """On one, where nothing is cut, it samples the same and learns the same."""
  command(
    f'--config={rl_tiny.__file__}:{model_folder},hrpo',
    *('--config.mesh.fsdp=1', '--config.mesh.tensor=1'),
    f'--workdir={workdir}',
  )
  for ours, theirs in zip(steps(workdir), steps(hrpo.folder), strict=True):
    same(ours, theirs)
  name = 'completions.jsonl'
  samples = lines(workdir / name), lines(hrpo.folder / name)
  for ours, theirs in zip(*samples, strict=True):
    same(ours, theirs)
  after, expected = saved(workdir, 4), saved(hrpo.folder, 4)
  for name, x in expected.items():
    assert np.abs(after[name] - x).max() <= 1e-4 * np.abs(x).max(), name


def test_another_configuration_is_refused(half, model_folder):
  config = tiny(model_folder, **{'rollout.num_generations': 2, 'seed': 3})
  with pytest.raises(ValueError) as error:
    trained(config, half)
  head, *fields, advice = str(error.value).splitlines()
  assert head == f'{half} holds a run of another configuration:'
  assert fields == [
    '  config.rollout.num_generations: 4 then, 2 now',
    '  config.seed: 0 then, 3 now',
  ]
  assert 'choose another --workdir' in advice


def command(*options):
  """The trainer in a process that has one device."""
  result = subprocess.run(
    [sys.executable, '-m', 'experiments.grpo', *options],
    cwd=ROOT,
    env=os.environ
    | {
      'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'kernels')]),
      'XLA_FLAGS': '--xla_force_host_platform_device_count=1',
      'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
      **{name.upper(): str(getattr(jax.config, name)) for name in CACHE},
    },
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr


def same(ours, theirs):
  """Two rows, up to rounding."""
  [ours], [theirs] = timeless([ours]), timeless([theirs])
  assert ours.keys() == theirs.keys()
  for name, x in theirs.items():
    if name.startswith('sampling/sampling_logp_difference'):
      continue  # rounding itself
    if isinstance(x, float) or name == 'latent':
      np.testing.assert_allclose(ours[name], x, rtol=1e-3, atol=1e-6)
    else:
      assert ours[name] == x, name
