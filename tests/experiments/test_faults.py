"""A trainer that is ended at any moment goes on as if it had not been.

A trainer that comes later joins by a line of TRAINERS.
"""

import random
import signal
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from hybrid_latent import cluster
from hybrid_latent.formats import rollouts
from tests.experiments.processes import finished, newest, started
from tests.experiments.runs import lines, saved, timeless

pytestmark = pytest.mark.slow
STEPS, KEEP, SEED = 12, 2, 4
EVALUATED = 'eval/digits'


class Trainer(NamedTuple):
  """A command; {0} is the folder of a model."""

  module: str
  config: str
  options: tuple[str, ...]
  best: str = ''  # the metric by which a checkpoint is kept


RL = (
  *(
    'seed=6',  # the best of its checkpoints is not among the last
    'mesh.tensor=1',
    'eval.num_prompts=16',
    'eval.every=2',
    'num_logged_completions=2',
  ),
  f'checkpoint.best={EVALUATED}',
)
SFT = (
  'mesh.fsdp=2',
  'batch_size=4',
  'data.kwargs.count=16',
  'checkpoint.every=1',
)
LRT = 'mesh.tensor=1', 'eval.num_prompts=8', 'num_logged_completions=2'
TRAINERS = {
  'grpo': Trainer(
    'grpo', 'tests/experiments/rl_tiny.py:{0},hrpo', RL, EVALUATED
  ),
  'grpo, all that is buffered': Trainer(
    'grpo',
    'tests/experiments/rl_tiny.py:{0},hrpo',
    (
      *RL,
      'rollout.dynamic_sampling_max_batches=2',
      'reference.sync_steps=2',
      'dump_every=1',
    ),
    EVALUATED,
  ),
  'sft': Trainer(
    'sft',
    'experiments/configs/sft_arithmetic.py:{0}',
    SFT,
  ),
  # A kill may fall on either side of the begin of a stage.
  'sft, in stages': Trainer(
    'sft',
    'experiments/configs/sft_arithmetic.py:{0},random',
    (
      *(*SFT, 'packing=False', 'buckets=2', 'rollout.max_completion_length=8'),
      *('stages.starts=(0,3,6,8)', 'stages.data_fraction=(0.25,0.5,0.75,1.0)'),
      *('stages.reset_optimizer=True', 'eval.num_prompts=8', 'eval.every=2'),
    ),
  ),
  **{
    f'lrt, {stage}': Trainer(
      'lrt', f'tests/experiments/lrt_tiny.py:{{0}},{stage},{{0}}', LRT
    )
    for stage in ('sft', 'rl')
  },
}


class Run(NamedTuple):
  """A run that is over."""

  folder: Path
  trainer: Trainer
  saved: list[int]  # at its end by SIGTERM, not after an evaluation


@pytest.fixture(scope='module', params=TRAINERS)
def trainer(request):
  return TRAINERS[request.param]


@pytest.fixture(scope='module')
def whole(trainer, model_folder, tmp_path_factory):
  """Never stopped."""
  folder = tmp_path_factory.mktemp('whole')
  finished(command(trainer, model_folder, folder), folder, devices=2)
  return Run(folder / 'run', trainer, [])


@pytest.fixture(scope='module')
def stopped(trainer, model_folder, tmp_path_factory):
  """Killed twice, told to end, and each time started again."""
  folder = tmp_path_factory.mktemp('stopped')
  words, workdir = command(trainer, model_folder, folder), folder / 'run'
  moments = random.Random(SEED)
  for end in signal.SIGKILL, signal.SIGKILL, signal.SIGTERM:
    before = newest(workdir)
    with started(words, folder, devices=2) as run:
      run.wait_for(lambda step=before: newest(workdir) > step)
      time.sleep(moments.uniform(0, 0.5))
      run.processes[0].send_signal(end)
      expected = -end if end == signal.SIGKILL else cluster.RESTART
      assert run.codes() == [expected], run.said()
  last = newest(workdir)
  assert f'SIGTERM: saved step {last} in {workdir}, exit code 75' in run.said()
  finished(words, folder, devices=2)
  return Run(workdir, trainer, [last])


def test_what_it_writes_is_equal(stopped, whole):
  for path in whole.folder.glob('*.jsonl'):
    ours, theirs = lines(stopped.folder / path.name), lines(path)
    assert timeless(ours) == timeless(theirs), f'{path.name}, SEED={SEED}'


def test_what_it_trained_is_equal(stopped, whole):
  ours, theirs = saved(stopped.folder, STEPS), saved(whole.folder, STEPS)
  assert ours.keys() == theirs.keys()
  for name, x in theirs.items():
    np.testing.assert_array_equal(ours[name], x, f'{name}, SEED={SEED}')


def test_what_it_dumped_is_equal(stopped, whole):
  theirs = [*whole.folder.glob('rollouts/*')]
  dumps = any('dump_every=1' in option for option in whole.trainer.options)
  assert len(theirs) == dumps * STEPS
  for path in theirs:
    *ours, rows = rollouts.read(stopped.folder / 'rollouts' / path.name)
    *arrays, notes = rollouts.read(path)
    jax.tree.map(np.testing.assert_array_equal, ours, arrays)
    assert rows == notes, f'{path.name}, SEED={SEED}'


def test_the_last_and_the_best_are_kept(stopped, whole):
  for run in stopped, whole:
    kept = {*range(STEPS - KEEP + 1, STEPS + 1)}
    if run.trainer.best:
      kept.add(best(run))
    found = {path.name for path in (run.folder / 'checkpoints').iterdir()}
    assert found == {str(step) for step in kept}, f'{run}, SEED={SEED}'


def best(run) -> int:
  """The step of the highest figure: one that would be gone otherwise."""
  figures = {
    row['step']: row[run.trainer.best]
    for row in lines(run.folder / 'metrics.jsonl')
    if run.trainer.best in row and row['step'] not in [0, *run.saved]
  }
  highest = max(figures, key=figures.__getitem__)
  assert [*figures.values()].count(figures[highest]) == 1
  assert highest <= STEPS - KEEP
  return highest


def command(trainer, model_folder, folder) -> list[str]:
  """The trainer in FOLDER/run."""
  options = f'max_steps={STEPS}', f'checkpoint.keep={KEEP}', *trainer.options
  return [
    *('-m', f'experiments.{trainer.module}', f'--workdir={folder}/run'),
    f'--config={trainer.config.format(model_folder)}',
    *[f'--config.{option}' for option in options],
  ]
