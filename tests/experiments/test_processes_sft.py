"""Several real processes are taught as one is, stage by stage."""

import os
import signal

import numpy as np
import pytest

from hybrid_latent import cluster
from tests.experiments.processes import child, finished, newest, started
from tests.experiments.runs import lines, timeless

pytestmark = pytest.mark.slow
# The random model is steep: at a usual rate rounding grows tenfold a step.
OPTIONS = {
  'optimizer.groups.model.lr': 1e-5,
  **{
    'max_steps': 6,
    'stages.starts': '(0,2,4)',
    'stages.data_fraction': '(0.25,0.5,1.0)',
  },
  **{
    'batch_size': 8,
    'data.kwargs.count': 32,
    'mesh.fsdp': 2,
    'checkpoint.every': 1,
  },
  **{
    'eval.num_prompts': 6,
    'rollout.max_completion_length': 8,
    'stages.reset_optimizer': True,
  },
}


@pytest.fixture(scope='module')
def alone(model_folder, tmp_path_factory):
  """One process with eight devices."""
  folder = tmp_path_factory.mktemp('alone')
  finished(command(model_folder, folder), folder)
  return lines(folder / 'run' / 'metrics.jsonl')


@pytest.mark.parametrize('hosts', [2, 4])
def test_several_processes_are_taught_as_one_is(
  hosts, alone, model_folder, tmp_path
):
  finished(command(model_folder, tmp_path), tmp_path, processes=hosts)
  assert_close(lines(tmp_path / 'run' / 'metrics.jsonl'), alone)


def test_others_go_on_where_some_were_killed(alone, model_folder, tmp_path):
  """Two are killed in the second stage, four go on: the same documents."""
  words, workdir = command(model_folder, tmp_path), tmp_path / 'run'
  with started(words, tmp_path, processes=2) as run:
    run.wait_for(lambda: newest(workdir) >= 3)
    os.kill(child(run.processes[1]), signal.SIGKILL)
    assert run.codes() == [cluster.RESTART] * 2, run.said()
  assert 3 <= newest(workdir) < 6
  finished(words, tmp_path, processes=4)
  assert_close(lines(workdir / 'metrics.jsonl'), alone)


def command(model_folder, folder) -> list[str]:
  """The trainer in FOLDER/run."""
  return [
    *('-m', 'experiments.sft', f'--workdir={folder}/run'),
    f'--config=experiments/configs/sft_arithmetic.py:{model_folder},random',
    *[f'--config.{name}={value}' for name, value in OPTIONS.items()],
  ]


def assert_close(ours, theirs):
  """The same rows, up to rounding."""
  for row, expected in zip(timeless(ours), timeless(theirs), strict=True):
    assert row.keys() == expected.keys()
    for name, x in expected.items():
      np.testing.assert_allclose(
        row[name], x, rtol=1e-3, atol=1e-5, err_msg=f'{expected["step"]} {name}'
      )
