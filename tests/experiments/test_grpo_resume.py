"""A run that was stopped goes on as if it had not been."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.experiments import rl_tiny
from tests.experiments.runs import lines, saved, timeless, trained

ROOT = Path(__file__).parents[2]


def tiny(model_folder, **changes):
  config = rl_tiny.get_config(f'{model_folder},hrpo')
  config.update_from_flattened_dict(changes)
  return config


@pytest.fixture(scope='module')
def half(model_folder, tmp_path_factory):
  """Two steps, and what a third leaves behind that is killed in the middle of
  its checkpoint and of a line."""
  folder = tmp_path_factory.mktemp('half')
  trained(tiny(model_folder, steps=2), folder)
  checkpoints = folder / 'checkpoints'
  begun = checkpoints / '3.orbax-checkpoint-tmp'
  shutil.copytree(checkpoints / '2', begun)
  (begun / 'state' / '_METADATA').unlink()
  with (folder / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 2, "loss": 99.0}\n{"step": 3, "lo')
  with (folder / 'completions.jsonl').open('a') as file:
    file.write('{"step": 2, "prompt": "?"}\n')
  return folder


def copied(folder, tmp_path):
  return Path(shutil.copytree(folder, tmp_path / 'run'))


def test_a_resumed_run_equals_one_that_was_never_stopped(
  half, hrpo, model_folder, tmp_path
):
  run = trained(tiny(model_folder), copied(half, tmp_path))
  for name in ('metrics.jsonl', 'completions.jsonl'):
    assert timeless(lines(run.folder / name)) == timeless(
      lines(hrpo.folder / name)
    )
  ours, theirs = saved(run.folder, 4), saved(hrpo.folder, 4)
  assert ours.keys() == theirs.keys()
  for name in theirs:
    np.testing.assert_array_equal(ours[name], theirs[name])
  steps = sorted(path.name for path in (run.folder / 'checkpoints').iterdir())
  assert steps == ['3', '4']


def test_the_command_resumes_on_another_number_of_devices(
  half, hrpo, model_folder, tmp_path
):
  """On one, where nothing is cut, it samples the same and learns the same."""
  folder = copied(half, tmp_path)
  result = subprocess.run(
    [
      *(sys.executable, '-m', 'experiments.grpo'),
      f'--config={rl_tiny.__file__}:{model_folder},hrpo',
      *('--config.mesh.fsdp=1', '--config.mesh.tensor=1'),
      f'--workdir={folder}',
    ],
    cwd=ROOT,
    env=os.environ
    | {
      'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'kernels')]),
      'XLA_FLAGS': '--xla_force_host_platform_device_count=1',
      'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
    },
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr
  ours, theirs = (lines(f / 'completions.jsonl') for f in (folder, hrpo.folder))
  for mine, other in zip(ours, theirs, strict=True):
    assert mine['tokens'] == other['tokens']
  ours, theirs = (
    timeless(lines(f / 'metrics.jsonl')) for f in (folder, hrpo.folder)
  )
  for mine, other in zip(ours, theirs, strict=True):
    for name in mine.keys() - {'sampling/sampling_logp_difference'}:
      print(name, mine[name], other[name])
  ours, theirs = saved(folder, 4), saved(hrpo.folder, 4)
  for name, x in theirs.items():
    print(name, np.abs(ours[name] - x).max(), np.abs(x).max())
  assert 0


def test_another_configuration_is_refused(half, model_folder):
  config = tiny(model_folder, **{'rollout.group': 2, 'seed': 3})
  with pytest.raises(ValueError) as error:
    trained(config, half)
  told = str(error.value).splitlines()
  assert told[0] == f'{half} holds a run of another configuration:'
  assert told[1:3] == [
    '  config.rollout.group: 4 then, 2 now',
    '  config.seed: 0 then, 3 now',
  ]
  assert 'choose another --workdir' in told[3]
  assert len(told) == 4
