"""What happens to runs: two in one folder, other data, a machine that refuses,
signals."""

import json
import os
import resource
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from experiments.training import resumable_shards
from experiments.training.resume import identity
from experiments.training.workdir import opened
from hybrid_latent.checkpoint import Checkpoints
from hybrid_latent.cluster import Ended
from hybrid_latent.telemetry import Telemetry
from tests.experiments import rl_tiny
from tests.experiments.processes import started

SMALL = {'w': jnp.ones(8)}
SIGNALS = """
import sys, time
from hybrid_latent import cluster, processes
with processes.ending_together('runs/x'):
  for step in range(int(sys.argv[1])):
    cluster.preemption_requested(step)
  print('begun', flush=True)
  time.sleep(20)
"""


def tiny(**changes):
  config = rl_tiny.get_config('x,hrpo').unlock()
  config.update_from_flattened_dict(changes)
  return config


@pytest.fixture
def folder(tmp_path):
  """Of a run of two steps."""
  folder = tmp_path / 'run'
  with opened(tiny(), str(folder)), Telemetry(folder) as telemetry:
    for step in 0, 1:
      telemetry.log(step, {'loss': 1.0})
    checkpoints = Checkpoints(f'{folder}/checkpoints')
    checkpoints.save(2, SMALL, identity(tiny(), 'grpo') | {'data': {}})
    checkpoints.close()
  return folder


def content(folder: Path) -> dict[str, bytes]:
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file()
  }


# ------------------------------------------------------ the same run, or none
@pytest.mark.parametrize(
  'changes',
  [{'mesh.tensor': 3}, {'eval.num_prompts': 9, 'data.test_split': 'nowhere'}],
)
def test_what_is_refused_after_the_resume_check_changes_nothing(
  folder, changes, now
):
  """By the data, the mesh or the model."""
  before = content(folder)
  with (
    pytest.raises(ValueError, match='write') as error,
    opened(tiny(**changes), str(folder)),
  ):
    raise ValueError('config.mesh.tensor is 3: write 1')
  told = f'{error.value}; config.json is as it was'
  now('a refused command overwrites config.json', changes, told)
  assert content(folder) == before


@pytest.mark.parametrize(
  ('changes', 'told'),
  [
    ({'seed': 7}, 'config.seed: 0 then, 7 now'),
    ({'rewards.digits.weight': 0.5}, 'weight: 2.0 then, 0.5 now'),
    ({'data.kwargs.count': 17}, 'config.data.kwargs.count: 16 then, 17 now'),
  ],
)
def test_a_refused_command_changes_nothing(folder, changes, told, now):
  before = content(folder)
  with (
    pytest.raises(ValueError, match=told) as error,
    opened(tiny(**changes), str(folder)),
  ):
    raise AssertionError('it was not refused')
  assert content(folder) == before
  now('a refused command overwrites config.json', changes, error.value)


def test_what_changes_no_number_goes_on_and_is_written_down(folder, now):
  with opened(tiny(max_steps=9, export=True), str(folder)):
    pass
  about = json.loads((folder / 'config.json').read_text())
  assert (about['config']['max_steps'], about['config']['export']) == (9, True)
  now('resumed with export=True', 'max_steps=9 export=True', 'it goes on')


def test_a_broken_newest_step_is_looked_past(folder, now, caplog):
  step = folder / 'checkpoints/2'
  shutil.copytree(step, folder / 'checkpoints/3')
  (folder / 'checkpoints/3/notes/metadata').write_text('{')
  with opened(tiny(), str(folder)):
    pass
  assert 'step 2 is the newest whole checkpoint' in caplog.text
  shutil.rmtree(step)
  before = content(folder)
  with pytest.raises(ValueError, match='is whole:') as error:
    opened(tiny(), str(folder)).__enter__()
  assert content(folder) == before
  now('a broken checkpoint', 'the only one, resumed', error.value)


@pytest.fixture
def job(tmp_path):
  """A tool's folder, and what it looks at before it begins."""
  rows = [{'question': '1?', 'answer': '1'}]

  def check(rows=rows, **fields):
    config, path = tiny(seed=fields.get('seed', 3)), tmp_path / 'job.json'
    fields = {f'config.{name}': value for name, value in fields.items()}
    resumable_shards.validate_job(
      config, resumable_shards.epath.Path(path), fields, rows, 'answers'
    )()

  check(seed=3, **{'data.path': '/a'})
  return check


def test_a_refused_tool_changes_nothing_either(job, tmp_path, now):
  before = content(tmp_path)
  with pytest.raises(ValueError, match=r'config\.seed: 3 then, 4 now') as error:
    job(seed=4, **{'data.path': '/a'})
  assert content(tmp_path) == before
  now('a refused tool overwrites config.json', 'seed=4', error.value)
  other = [{'question': '1?', 'answer': '2'}]
  with pytest.raises(ValueError, match='rows of the data, SHA-256: ') as error:
    job(rows=other, seed=3, **{'data.path': '/a'})
  assert content(tmp_path) == before
  now('a tool goes on with other data', 'one answer is another', error.value)
  job(seed=3, **{'data.path': '/b'})  # the same rows elsewhere
  job(seed=3, **{'data.path': '/b', 'rollout.answer_reserve': 0})  # a new field
  (tmp_path / 'job.json').write_text('{"config.seed"')
  with pytest.raises(ValueError, match=r'job\.json is not as it was written'):
    job(seed=3)


def test_two_runs_in_one_folder(folder, now):
  with opened(tiny(), str(folder)):
    before = content(folder)
    with pytest.raises(ValueError, match='is in use by a run on') as error:
      opened(tiny(), str(folder)).__enter__()
    assert content(folder) == before
  now('two runs in one workdir', 'the same command twice', error.value)


def test_metrics_of_an_earlier_run_are_kept(folder, now):
  before = (folder / 'metrics.jsonl').read_text()
  assert before.count('\n') == 2
  with Telemetry(folder) as telemetry:
    telemetry.log(0, {'loss': 3.0})
  kept = [*folder.glob('metrics.jsonl.until-*')]
  assert [path.read_text() for path in kept] == [before]
  now('the first run loses its metrics', 'a run from step 0', kept[0].name)


# ------------------------------------------------- what the machine refuses
@contextmanager
def limited(kind: int, value: int):
  """As a disk that is full: the system refuses to write, or to open, more."""
  soft, hard = resource.getrlimit(kind)
  resource.setrlimit(kind, (value, hard))
  try:
    yield
  finally:
    resource.setrlimit(kind, (soft, hard))


def test_a_checkpoint_that_has_no_room(folder, now, caplog):
  large = {'w': jax.random.normal(jax.random.key(0), (2**18,))}
  with pytest.raises(Ended) as end, opened(tiny(), str(folder)):
    checkpoints = Checkpoints(f'{folder}/checkpoints')
    with limited(resource.RLIMIT_FSIZE, 2**16):
      checkpoints.save(3, large, {})
      checkpoints.close()
  assert end.value.code == 1
  assert end.value.text == (
    f'error: checkpoint 3 could not be written to {folder}/checkpoints: File '
    'too large; step 2 is the last one: fix that, and the same command resumes '
    'from there; exit code 1'
  )
  assert 'Traceback' not in caplog.text
  now('disk full', 'while a checkpoint is written', end.value.text)
  checkpoints = Checkpoints(f'{folder}/checkpoints', keep=3)
  assert checkpoints.latest == 2
  checkpoints.save(3, large, {})
  checkpoints.close()
  left = {path.name for path in (folder / 'checkpoints').iterdir()}
  assert left == {'2', '3'}


def test_metrics_that_have_no_room(folder, now):
  with (
    pytest.raises(Ended) as end,
    opened(tiny(), str(folder)),
    Telemetry(folder, trackers=(), resume_step=2) as telemetry,
    limited(resource.RLIMIT_FSIZE, 2**12),
  ):
    for step in range(2, 2**10):
      telemetry.log(step, {'loss': 1.0})
  assert end.value.code == 1
  assert end.value.text == (
    f'error: File too large: {folder}/metrics.jsonl; step 2 is saved in '
    f'{folder}: fix that, and the same command resumes from there; exit code 1'
  )
  now('disk full', 'while metrics are written', end.value.text)
  with Telemetry(folder, trackers=(), resume_step=2):
    pass
  rows = (folder / 'metrics.jsonl').read_text().splitlines()
  assert [json.loads(row)['step'] for row in rows] == [0, 1]


def test_too_many_files(folder, now):
  files = []
  with pytest.raises(Ended) as end, opened(tiny(), str(folder)):
    try:
      with limited(resource.RLIMIT_NOFILE, 128):
        while True:
          files.append(open(os.devnull))  # noqa: SIM115
    finally:
      for file in files:
        file.close()
  assert 'error: Too many open files: /dev/null; step 2 is' in end.value.text
  now('the limit on files', '128 of them', end.value.text)


def test_a_folder_that_is_deleted_under_the_run(folder, now):
  with pytest.raises(Ended) as end, opened(tiny(), str(folder)):
    shutil.rmtree(folder)
  assert end.value.code == 1
  assert 'was deleted or moved while this run wrote there' in end.value.text
  now('workdir deleted under the run', 'rm -r', end.value.text)


def test_a_folder_that_cannot_be_written(tmp_path, now):
  (tmp_path / 'file').touch()
  with pytest.raises(ValueError, match='cannot be written: Not a') as error:
    opened(tiny(), f'{tmp_path}/file/run').__enter__()
  now('read-only workdir', 'a folder inside a file', error.value)


def test_errors_of_the_program_stay_errors(folder):
  for error in KeyError('x'), FileNotFoundError(2, 'No such file', 'data'):
    with pytest.raises(type(error)), opened(tiny(), str(folder)):
      raise error


# ------------------------------------------------------------------- signals
@pytest.mark.parametrize(
  ('steps', 'numbers', 'code', 'said'),
  [
    (1, [signal.SIGINT], 130, 'Ctrl-C: ended before the first step was over'),
    (1, [signal.SIGTERM], 75, 'SIGTERM: ended before the first step was over'),
    (
      *(3, [signal.SIGINT] * 2, 130),
      'Ctrl-C: saves when this step is over; again ends at once\n'
      'Ctrl-C: ended at once; runs/x has what was saved before, exit code 130',
    ),
  ],
)
def test_a_signal_ends_at_once(tmp_path, steps, numbers, code, said, now):
  with started(['-c', SIGNALS, str(steps)], tmp_path) as run:
    run.wait_for(lambda: 'begun' in run.said())
    begun = time.monotonic()
    for number in numbers:
      run.processes[0].send_signal(number)
      time.sleep(0.3)
    assert run.codes() == [code]
    assert time.monotonic() - begun < 15
  text = run.logs[0].read_text()
  assert said in text
  assert 'Traceback' not in text
  now(', '.join(x.name for x in numbers), f'after {steps} steps', text[6:])
