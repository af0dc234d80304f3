"""Several real processes train as one does, and end and go on together."""

import json
import os
import shutil
import signal
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hybrid_latent import cluster
from hybrid_latent.formats import rollouts
from tests.experiments import rl_hosts
from tests.experiments.processes import child, finished, newest, started
from tests.experiments.runs import lines, timeless

pytestmark = pytest.mark.slow
STEPS = 8
CLOSE = 4  # steps until rounding has grown: a sample depends on all before it
LOGS = 'metrics.jsonl', 'completions.jsonl'


class Result(NamedTuple):
  """A run that is over."""

  folder: Path
  hosts: int
  graded: list[set[str]]  # the questions that each host graded


@pytest.fixture(scope='module')
def alone(model_folder, tmp_path_factory):
  """One process with eight devices."""
  return run(model_folder, tmp_path_factory.mktemp('alone'), 1)


@pytest.fixture(scope='module')
def two(model_folder, tmp_path_factory):
  """Two processes that have eight devices together, never stopped."""
  return run(model_folder, tmp_path_factory.mktemp('two'), 2)


@pytest.fixture(scope='module')
def four(model_folder, tmp_path_factory):
  """Four of them, whose rows two share."""
  return run(model_folder, tmp_path_factory.mktemp('four'), 4)


@pytest.fixture(params=['two', 'four'])
def several(request):
  return request.getfixturevalue(request.param)


def test_several_processes_train_as_one_does(several, alone):
  assert_close(several.folder, alone.folder)


def test_every_prompt_is_read_by_one_host(several, alone):
  for step in range(STEPS):
    [whole] = read(alone, step)
    parts = read(several, step)
    assert len(whole) == len({*whole})
    assert [len(part) for part in parts] == [4 // several.hosts] * several.hosts
    assert [*chain(*parts)] == whole


def test_completions_are_graded_where_they_were_sampled(several):
  for host in range(several.hosts):
    ours, others = set(), set()
    for step in range(STEPS):
      parts = read(several, step)
      ours |= {*parts.pop(host)}
      others |= {*chain(*parts)}
    assert ours <= several.graded[host]
    assert not (others - ours) & several.graded[host]


def test_one_process_writes_the_logs(several):
  names = [path.name for path in several.folder.iterdir()]
  assert sum(name.startswith('events.') for name in names) == 1
  about = json.loads((several.folder / 'config.json').read_text())
  assert about['processes'] == several.hosts
  assert about['devices'][0] == '8'


class Interrupted(NamedTuple):
  """A run of two processes with what happened to it."""

  folder: Path
  killed: str  # what both said when one was killed
  copy: Path  # the folder as it was then
  told: str  # what both said when one had got SIGTERM


@pytest.fixture(scope='module')
def interrupted(model_folder, tmp_path_factory):
  """One process is killed, then one is told to end, then they are left to."""
  folder = tmp_path_factory.mktemp('interrupted')
  workdir, said = folder / 'run', []
  for number in signal.SIGKILL, signal.SIGTERM:
    before = newest(workdir)
    with started(command(model_folder, folder), folder, processes=2) as run:
      run.wait_for(lambda step=before: newest(workdir) > step)
      if number == signal.SIGKILL:
        os.kill(child(run.processes[1]), number)
      else:
        run.processes[1].send_signal(number)
      assert run.codes() == [cluster.RESTART] * 2, run.said()
      said.append(run.said())
    if number == signal.SIGKILL:
      shutil.copytree(workdir, folder / 'copy')
  finished(command(model_folder, folder), folder, processes=2)
  return Interrupted(workdir, said[0], folder / 'copy', said[1])


def test_where_one_is_killed_all_say_how_to_go_on(interrupted):
  """And SIGTERM to one is told to all, which save."""
  for text in interrupted.killed.split('--- process')[1:]:
    assert 'The same command resumes from the last checkpoint' in text
    assert str(interrupted.folder) in text
  for text in interrupted.told.split('--- process')[1:]:
    assert 'SIGTERM: saved step' in text
    assert str(interrupted.folder) in text


def test_processes_that_were_stopped_go_on_as_if_not(interrupted, two):
  """To the last bit."""
  for name in LOGS:
    ours, theirs = (lines(run.folder / name) for run in (interrupted, two))
    assert timeless(ours) == timeless(theirs)


def test_one_process_goes_on_on_another_mesh(interrupted, alone, model_folder):
  """What two wrote: four shards of the width instead of two."""
  copy = interrupted.copy
  assert 0 < newest(copy) < CLOSE
  mesh = '--config.mesh.fsdp=4', '--config.mesh.tensor=1'
  words = command(model_folder, copy.parent, copy.name)
  finished([*words, *mesh], copy.parent)
  assert_close(copy, alone.folder)


@pytest.mark.parametrize('hosts', [1, 2])
def test_another_mesh_samples_the_same(hosts, model_folder, alone, tmp_path):
  sizes = {'fsdp': 8, 'tensor': 1}, {'data': 4, 'fsdp': 1, 'tensor': 2}
  meshes = [
    f'--config.{where}.{axis}={size}'
    for where, part in zip(('mesh', 'rollout.mesh'), sizes, strict=True)
    for axis, size in part.items()
  ]
  words = [*command(model_folder, tmp_path), *meshes]
  finished(words, tmp_path, processes=hosts)
  assert_close(tmp_path / 'run', alone.folder)


def run(model_folder, folder, hosts) -> Result:
  """To the end."""
  finished(command(model_folder, folder), folder, processes=hosts)
  graded = [lines(folder / f'{host}.jsonl') for host in range(hosts)]
  return Result(folder / 'run', hosts, [{*some} for some in graded])


def command(model_folder, folder, name='run') -> list[str]:
  """The trainer in FOLDER/NAME."""
  return [
    *('-m', 'experiments.grpo', f'--workdir={folder}/{name}'),
    f'--config={rl_hosts.__file__}:{folder}:{model_folder},hrpo',
    f'--config.max_steps={STEPS}',
  ]


def read(result, step) -> list[list[str]]:
  """The questions that each host sampled for."""
  paths = [
    result.folder / 'rollouts' / f'{step:06d}-{host}.safetensors'
    for host in range(result.hosts)
  ]
  notes = [rollouts.read(path)[2] for path in paths]
  return [[row['question'] for row in note['rows']] for note in notes]


def assert_close(folder, other):
  """The first metrics and completions of two runs, up to rounding."""
  for name in LOGS:
    ours, theirs = (timeless(lines(f / name)) for f in (folder, other))
    for row, expected in zip(ours, theirs, strict=True):
      if expected['step'] >= CLOSE:
        continue
      assert row.keys() == expected.keys()
      for field, x in expected.items():
        if field.startswith('sampling/sampling_logp_difference'):
          continue  # rounding itself
        if isinstance(x, float) or field == 'latent':
          np.testing.assert_allclose(
            row[field], x, rtol=1e-4, atol=1e-6, err_msg=field
          )
        else:
          assert row[field] == x, field
