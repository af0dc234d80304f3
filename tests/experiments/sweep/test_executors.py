"""Runs as processes of this machine, as jobs of submitit, of a real SLURM, and
what SkyPilot is handed."""

import json
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from experiments.sweep import executors
from experiments.sweep.executors import EXECUTORS, Local, Sky, Slurm
from hybrid_latent.cluster import RESTART

ROOT = Path(__file__).parents[3]


def python(code):
  return [sys.executable, '-c', code]


@pytest.fixture
def folder(tmp_path):
  path = tmp_path / 'cells' / 'one'
  path.mkdir(parents=True)
  return path


def ended(executor, job):
  for _ in range(600):
    (state,) = executor.states([job])
    if not isinstance(state, str):
      return state
    time.sleep(0.05)
  raise AssertionError(f'{job} is still {state}')


def test_a_process_leaves_its_words_and_its_status(folder):
  executor = Local({}, 0)
  code = (
    'import os, sys\n'
    'print(os.environ["JAX_COMPILATION_CACHE_DIR"], flush=True)\n'
    'sys.exit("no\\x1b[2J")'
  )
  assert ended(executor, executor.start(python(code), folder)) == 1
  default = f'{folder.parents[1]}/jax_cache'
  cache = os.environ.get('JAX_COMPILATION_CACHE_DIR', default)
  log = folder / 'log.txt'
  assert log.read_text() == f'{cache}\nno\x1b[2J\n'
  assert ended(executor, executor.start(python('print(1)'), folder)) == 0
  assert log.read_text().endswith('2J\n1\n')  # a second try does not erase
  assert executor.states(['12345678']) == [None]  # of a sweep before this one


def test_a_process_is_told_to_end(folder):
  executor = Local({}, 0)
  code = (
    'import signal, sys, time\n'
    f'signal.signal(signal.SIGTERM, lambda *_: sys.exit({RESTART}))\n'
    'print("up", flush=True)\n'
    'time.sleep(60)'
  )
  job = executor.start(python(code), folder)
  assert executor.states([job]) == ['running']
  while not (folder / 'log.txt').read_text():
    time.sleep(0.02)
  assert executor.stop([job]) == 'have ended'
  assert executor.states([job]) == [RESTART]


def test_the_second_interrupt_kills(folder, capfd, interruptible):
  """Of a run that does not end: here, one that ignores SIGTERM."""
  executor = Local({}, 0)
  code = (
    'import signal, time\n'
    'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
    'print("up", flush=True)\n'
    'time.sleep(60)'
  )
  job = executor.start(python(code), folder)
  while not (folder / 'log.txt').read_text():
    time.sleep(0.02)
  interrupt = partial(os.kill, os.getpid(), signal.SIGINT)
  timer = threading.Timer(0.3, interrupt)
  timer.start()
  assert executor.stop([job]) == (
    'were killed, each goes on from its last checkpoint'
  )
  timer.join()
  assert executor.states([job]) == [-signal.SIGKILL]
  assert 'Ctrl-C once more kills them' in capfd.readouterr().err


def test_an_executor_says_what_it_lacks(folder, monkeypatch):
  with pytest.raises(ValueError, match='the local one has no options'):
    Local({'nodes': '2'}, 0)
  monkeypatch.setenv('PATH', '/nowhere')
  with pytest.raises(ValueError, match='there is no command sky here'):
    Sky({}, 0).start(['python'], folder)
  with pytest.raises(ValueError, match='there is no command sbatch here'):
    Slurm({}, 0).start(['python'], folder)
  monkeypatch.setitem(sys.modules, 'submitit', None)
  with pytest.raises(ValueError, match=r'pip install "hybrid-latent\[sweep\]"'):
    executors.import_extra('submitit')


def stand_in(folder, name, script):
  """A command of that name, before all others."""
  path = folder / 'bin' / name
  path.parent.mkdir(exist_ok=True)
  path.write_text(f'#!/bin/sh\n{script}\n')
  path.chmod(0o755)
  return f'{path.parent}{os.pathsep}{os.environ["PATH"]}'


@pytest.mark.slow
@pytest.mark.parametrize(
  ('code', 'state', 'log'),
  [
    ('print("well")', 0, 'well\n'),
    ('import sys; sys.exit("no")', 1, 'no\n'),
    (f'import sys; sys.exit({RESTART})', None, ''),
  ],
)
# Python's, of a process that outlives submitit's object for it.
@pytest.mark.filterwarnings('ignore:subprocess .* is still running')
def test_a_job_of_submitit(folder, monkeypatch, code, state, log):
  """By submitit's executor for this machine, which has no queue to ask."""
  monkeypatch.setenv('PATH', stand_in(folder, 'squeue', 'exit 0'))
  monkeypatch.setenv('PYTHONPATH', f'{ROOT}{os.pathsep}{ROOT / "kernels"}')
  executor = Slurm({'partition': 'gpu', 'nodes': '2'}, 0, cluster='local')
  job = executor.start(python(code), folder)
  os.waitpid(int(job.split()[0]), 0)
  assert executor.states([job]) == [state]
  assert (folder / 'log.txt').read_text() == log


def test_sky_gets_a_task_and_is_asked_for_its_state(folder, monkeypatch):
  """SkyPilot itself has no cloud here."""
  queue = [
    {'job_name': 'other', 'status': 'FAILED'},
    *({'job_name': f'cell-{s}', 'status': s} for s in ('PENDING', 'RUNNING')),
    *({'job_name': f'cell-{s}', 'status': s} for s in ('SUCCEEDED', 'FAILED')),
  ]
  (folder / 'queue.json').write_text(json.dumps(queue))
  script = (
    f'[ $2 = queue ] && exec cat {folder}/queue.json\n'
    f'echo "$@" > {folder}/asked; for file; do :; done\n'
    f'cp $file {folder}/task'
  )
  monkeypatch.setenv('PATH', stand_in(folder, 'sky', script))
  sky = EXECUTORS['sky']({'accelerators': 'H100:8'}, 0)
  job = sky.start(['/here/python', '-m', 'x', '--workdir=gs://b/one'], folder)
  asked = (folder / 'asked').read_text()
  assert asked.startswith(f'jobs launch --yes --detach-run --name={job} ')
  task = (folder / 'task').read_text()
  assert task == (folder / f'{job}.yaml').read_text()
  assert task.endswith('\n  python -m x --workdir=gs://b/one\n')
  names = 'cell-PENDING', 'cell-RUNNING', 'cell-SUCCEEDED', 'cell-FAILED', job
  assert sky.states(names) == ['queued', 'running', 0, 1, None]
  assert sky.start(['p'], folder) != job  # SkyPilot would take it for the same
