"""One run at a time in a working directory, whatever the file system can."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments.training import lock
from hybrid_latent.cluster import Ended

HOLDS = """
import sys, time
from experiments.training.lock import locked
with locked(sys.argv[1]):
  print('held', flush=True)
  time.sleep(60)
"""


@pytest.fixture
def no_flock(monkeypatch):
  """A file system without it, and less patience."""

  def refuses(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

  monkeypatch.setattr(fcntl, 'flock', refuses)
  for name, seconds in {'BEAT_S': 0.1, 'STALE_S': 0.5, 'SETTLE_S': 0.1}.items():
    monkeypatch.setattr(lock, name, seconds)


@pytest.fixture(params=['flock', 'no_flock'])
def either(request):
  if request.param == 'no_flock':
    request.getfixturevalue('no_flock')


def left(folder, **changes):
  """What a run that has ended badly left, and this process wrote."""
  with lock.locked(str(folder)):
    about = json.loads((folder / lock.FILE).read_text())
  (folder / lock.FILE).write_text(json.dumps(about | changes))


def test_a_second_run_is_refused_by_name(either, tmp_path):
  with lock.locked(str(tmp_path / 'run')):
    about = json.loads((tmp_path / 'run/run.lock').read_text())
    told = (
      f'in use by a run on host {about["host"]}, process {os.getpid()}, since '
      f'{about["since"]}: end that run'.replace('+', r'\+')
    )
    with pytest.raises(ValueError, match=told), lock.locked(f'{tmp_path}/run'):
      pass
  with lock.locked(str(tmp_path / 'run')):  # it is over
    pass
  assert not [*(tmp_path / 'run').iterdir()]


def test_a_killed_run_holds_nothing(tmp_path):
  environ = os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)}
  with subprocess.Popen(
    [sys.executable, '-c', HOLDS, str(tmp_path)],
    stdout=subprocess.PIPE,
    env=environ,
  ) as process:
    assert process.stdout and process.stdout.readline() == b'held\n'
    with (
      pytest.raises(ValueError, match=f'process {process.pid}, since'),
      lock.locked(str(tmp_path)),
    ):
      pass
    process.kill()
  assert (tmp_path / lock.FILE).exists()
  begun = time.monotonic()
  with lock.locked(str(tmp_path)):
    assert time.monotonic() - begun < lock.STALE_S / 2


@pytest.mark.parametrize(
  'changes',
  [
    {'process': 2**22 + 1},  # above the largest there is
    {'started': '1'},  # another process has its number
    {'machine': ['rebooted since', 'x'], 'host': 'elsewhere'},
    {'machine': None, 'process': None, 'started': None},
  ],
)
def test_a_stale_lock_is_taken_over(no_flock, tmp_path, changes):
  left(tmp_path, **changes)
  for stamp in 0, 2**33:  # the clock was put back, or forth
    os.utime(tmp_path / lock.FILE, (stamp, stamp))
  with lock.locked(str(tmp_path)):
    about = json.loads((tmp_path / lock.FILE).read_text())
    assert about['process'] == os.getpid()


@pytest.mark.parametrize('text', ['', '{', '[]', 'null', '\xff'])
def test_a_lock_that_says_nothing_is_taken_over(either, tmp_path, text):
  (tmp_path / lock.FILE).write_bytes(text.encode('latin1'))
  with lock.locked(str(tmp_path)):
    pass


def test_a_living_run_of_another_host_is_not(no_flock, tmp_path):
  left(tmp_path, host='elsewhere', machine=['other', 'x'])
  path, over = tmp_path / lock.FILE, threading.Event()
  about = json.loads(path.read_text())

  def beat():
    count = 0
    while not over.wait(0.05):
      count += 1
      path.with_name('part').write_text(json.dumps(about | {'beat': count}))
      path.with_name('part').replace(path)

  thread = threading.Thread(target=beat)
  thread.start()
  try:
    with (
      pytest.raises(ValueError, match='by a run on host elsewhere, process'),
      lock.locked(str(tmp_path)),
    ):
      pass
  finally:
    over.set()
    thread.join()


@pytest.mark.parametrize('what', [shutil.rmtree, lambda run: run.rename('x')])
def test_a_run_whose_folder_is_gone_says_so(
  either, tmp_path, monkeypatch, what
):
  monkeypatch.chdir(tmp_path)
  run = Path(tmp_path / 'run')
  with (
    pytest.raises(Ended) as end,
    lock.locked(str(run)),
  ):
    what(run)
  assert end.value.code == 1
  assert f'{run} was deleted or moved while this run wrote' in end.value.text


def test_a_run_that_lost_its_folder_to_another_says_so(either, tmp_path):
  with pytest.raises(Ended) as end, lock.locked(str(tmp_path)):
    about = json.loads((tmp_path / lock.FILE).read_text())
    other = about | {'id': 'x', 'process': 7, 'host': 'elsewhere'}
    (tmp_path / lock.FILE).write_text(json.dumps(other))
  assert 'in use by a run on host elsewhere, process 7' in end.value.text
  assert end.value.code == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / 'file').touch()
  for workdir, why in (
    (f'{tmp_path}/file/run', 'Not a directory'),
    ('/proc/run', 'No such file'),
  ):
    told = f'--workdir={workdir} cannot be written: {why}.*choose another'
    with pytest.raises(ValueError, match=told), lock.locked(workdir):
      pass
