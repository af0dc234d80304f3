"""Following cells: what is started, what is started again, what is found."""

from pathlib import Path

import pytest

from experiments.sweep.grid import grid_points, make_cells
from experiments.sweep.scheduler import Setup, run_cells
from hybrid_latent.cluster import RESTART

# Of ml_collections, where it loads a config file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

PAGE = Path(__file__).parents[3] / 'experiments/configs/rl_arithmetic.py'


def grid_of(grid, folder):
  return make_cells(f'{PAGE}:x,hrpo', grid_points([grid]), [], folder)


class Scripted:
  """Jobs that go through what a test says, a word or a status a question."""

  every = 0.0

  def __init__(self, *scripts):
    self.scripts, self.jobs, self.stopped = list(scripts), {}, ()

  def start(self, command, folder):
    name = f'{id(self)}-{len(self.jobs)}'
    self.jobs[name] = list(self.scripts.pop(0))
    return name

  def states(self, jobs):
    return [self.next(self.jobs.get(job, [None])) for job in jobs]

  def next(self, script):
    state = script.pop(0) if len(script) > 1 else script[0]
    if state is KeyboardInterrupt:
      raise state
    return state

  def stop(self, jobs):
    self.stopped = jobs
    return 'go on'


def follow(every, executor, jobs=1, retries=2):
  setup = Setup(executor, 'scripted', 'grpo', retries, jobs)
  return [
    (cell.label, state) for cell, state in run_cells(every, len(every), setup)
  ]


def test_a_cell_that_was_told_to_end_starts_again(tmp_path, capsys):
  executor = Scripted(['queued', 'running', RESTART], [0], [3])
  every = grid_of('config.seed=1,2', tmp_path)
  assert follow(every, executor) == [('seed=1', 0), ('seed=2', 3)]
  assert capsys.readouterr().out.splitlines() == [
    '[1/2] seed=1: queued',
    '[1/2] seed=1: running',
    '[1/2] seed=1: was preempted, starts again (1)',
    '[1/2] seed=1: finished (0 of 40 steps, reward –)',
    '[2/2] seed=2: failed with status 3',
  ]
  # What is finished does not run again; three times are two retries.
  executor = Scripted(*[[RESTART]] * 3)
  assert follow(every, executor) == [('seed=1', 0), ('seed=2', RESTART)]
  assert not executor.scripts
  assert 'seed=1: was finished' in capsys.readouterr().out


def test_as_many_run_as_there_are_places(tmp_path):
  executor = Scripted(['running', 0], ['running', 'running', 0], [0])
  every = grid_of('config.seed=1,2,3', tmp_path)
  order = [label for label, _ in follow(every, executor, jobs=2)]
  assert order == ['seed=1', 'seed=2', 'seed=3']


def test_a_sweep_that_is_stopped_leaves_the_jobs_and_finds_them(
  tmp_path, capsys
):
  executor = Scripted(['running', KeyboardInterrupt, 'running', 0], [0])
  every = grid_of('config.seed=1,2', tmp_path)
  with pytest.raises(KeyboardInterrupt):
    follow(every, executor)
  assert executor.stopped == (*executor.jobs,)
  assert capsys.readouterr().err == '1 of the runs go on\n'
  assert follow(every, executor) == [('seed=1', 0), ('seed=2', 0)]
  assert len(executor.jobs) == 2  # and none twice
  # One that ended well while nobody looked is not run again either.
  (tmp_path / every[0].folder.name / 'finished.json').unlink()
  assert follow(every, executor) == [('seed=1', 0), ('seed=2', 0)]
  assert len(executor.jobs) == 2


def test_a_folder_has_one_run_at_a_time(tmp_path):
  executor = Scripted(['running', KeyboardInterrupt, 'running'])
  with pytest.raises(KeyboardInterrupt):
    follow(grid_of('config.seed=1', tmp_path), executor)
  other = make_cells(
    f'{PAGE}:x,hrpo',
    grid_points(['config.seed=1']),
    ['--config.max_steps=3'],
    tmp_path,
  )
  with pytest.raises(ValueError, match=r'runs as job .* with another config'):
    follow(other, executor)
