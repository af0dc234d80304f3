"""The parent's side of a reward worker: requests, limits, termination.

The limits include the processes that a reward starts. A child, detached or not,
may keep the pipes open, so nothing here waits for the end of a pipe; and all
descendants of a worker are killed with it. Without /proc (macOS), detached ones
survive, and the limit is wall time.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

# An environment variable of a worker, inherited by all its descendants.
MARK = 'HYBRID_LATENT_REWARD_WORKER'
_START_S = 120.0  # importing sympy from a cold network disk is slow
_PATIENCE = 30  # bound of the wall time, as a multiple of the limit
_POLL_S = 0.05
_SWEEP_S = 5.0  # for processes that start others as fast as they are killed


class Worker:
  """A worker process, replaced by a new one after it was killed."""

  def __init__(self, setup: bytes):
    self._setup = setup
    self._reaping = threading.Lock()
    self._requests_made = 0
    self._begin()

  def wait_ready(self) -> None:
    """Returns when the rewards are imported, in a new process if needed."""
    if self._process.returncode is not None:
      self.end()
      self._begin()
    if self._ready:
      return
    try:
      answer = self._exchange(b'', _START_S)
    except (ConnectionError, TimeoutError) as error:
      raise RuntimeError(
        f'a reward worker was not ready, {error}: see its standard error'
      ) from None
    if 'error' in answer:
      raise ValueError(answer['error'])
    self._ready = True

  def answer(self, line: bytes, seconds: float) -> dict:
    """The answer to a request. ConnectionError if the process died,
    TimeoutError if it took longer; the process and its descendants are then
    killed."""
    self.wait_ready()
    self._requests_made += 1
    number = self._requests_made
    request = b'{"request": %d, ' % number + line.removeprefix(b'{')
    answer = self._exchange(request, seconds)
    if not isinstance(answer, dict) or answer.get('request') != number:
      self.end()
      raise ConnectionError('its worker sent a malformed answer')
    return answer

  def kill(self) -> None:
    """Kills the process and its descendants."""
    with self._reaping:  # after a wait the pid may belong to another process
      pid = self._process.pid
      alive = self._process.poll() is None
      descendants = family({pid} if alive else set(), self._mark)
      if alive:
        os.killpg(pid, signal.SIGKILL)
        self._process.wait()
      kill_all(descendants, self._mark)

  def end(self) -> None:
    """Kills the process and closes the pipes."""
    self.kill()
    for pipe in self._process.stdin, self._process.stdout:
      if pipe:
        pipe.close()

  def _begin(self) -> None:
    self._ready = False
    self._mark = os.urandom(16).hex()
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    # -P: the working directory is on the path only if it is in this process.
    self._process = subprocess.Popen(
      [sys.executable, '-P', '-m', 'hybrid_latent.rewards.worker'],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      bufsize=0,
      env=os.environ | {'PYTHONPATH': path, MARK: self._mark},
      start_new_session=True,
    )
    assert self._process.stdin
    assert self._process.stdout
    self._requests = self._process.stdin.fileno()
    self._answers = self._process.stdout.fileno()
    with suppress(BrokenPipeError):  # `wait_ready` raises for a dead process
      os.write(self._requests, self._setup)
    # A worker that does not read must not block the parent in a write.
    os.set_blocking(self._requests, False)

  def _exchange(self, line: bytes, seconds: float) -> dict:
    """Sends a line and reads one, within the time limit and while the process
    lives."""
    rest, answer = memoryview(line), bytearray()
    start, waited = time.monotonic(), _waited_s(self._process.pid)
    with selectors.DefaultSelector() as ready:
      ready.register(self._answers, selectors.EVENT_READ)
      if rest:
        ready.register(self._requests, selectors.EVENT_WRITE)
      while not answer.endswith(b'\n'):
        with self._reaping:
          dead = self._process.poll() is not None
        events = {key.fd for key, _ in ready.select(0 if dead else _POLL_S)}
        if self._requests in events:
          try:
            rest = rest[os.write(self._requests, rest[:65536]) :]
          except BrokenPipeError:  # it died before it had read the line
            rest = rest[:0]
          if not rest:
            ready.unregister(self._requests)
        piece = b''
        if self._answers in events:
          piece = os.read(self._answers, 65536)
          answer += piece
        if not piece and (dead or self._answers in events):
          self.end()
          raise ConnectionError('its worker ended')
        # Time without a core does not count, but is bounded, too.
        wall = time.monotonic() - start
        spent = wall - (_waited_s(self._process.pid) - waited)
        if spent > seconds or wall > _PATIENCE * seconds:
          self.end()
          raise TimeoutError(f'its worker took more than {seconds} s')
    try:
      return json.loads(answer)
    except ValueError:  # a reward wrote into the pipe
      self.end()
      raise ConnectionError('its worker sent a malformed answer') from None


def family(roots: set[int], mark: str) -> set[int]:
  """The processes with `mark` in their initial environment, whatever their
  parent now, and all descendants of those and of `roots`."""
  parents, pids = {}, set(roots)
  for folder in Path('/proc').glob('[0-9]*'):
    with suppress(OSError):  # it has ended, or belongs to another user
      pid = int(folder.name)
      stat = (folder / 'stat').read_text('utf-8', 'replace')
      parents[pid] = int(stat.rpartition(')')[2].split()[1])
      if mark.encode() in (folder / 'environ').read_bytes():
        pids.add(pid)
  # Breadth first over the tree of processes, one generation per pass.
  new = pids
  while new:
    new = {pid for pid, parent in parents.items() if parent in new} - pids
    pids |= new
  return pids - roots


def kill_all(pids: set[int], mark: str) -> None:
  """Kills `pids` and all processes with `mark`, except this one."""
  end, this = time.monotonic() + _SWEEP_S, {os.getpid()}
  while (pids := pids - this) and time.monotonic() < end:
    for pid in pids:
      with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    pids = family(set(), mark)


def _waited_s(pid: int) -> float:
  """The seconds that a process was runnable but waited for a core."""
  try:
    return int(Path(f'/proc/{pid}/schedstat').read_text().split()[1]) * 1e-9
  except OSError:
    return 0.0
