"""A reward worker seen from outside: requests, limits, and its end.

The limits hold whatever a reward starts. A child that it forks, detached or
not, may keep the pipes open, so nothing here waits for the end of a pipe; and
all that descend from a worker end with it. Where there is no /proc (macOS),
those that have detached themselves live on, and the limit is plain wall time.
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

# In the environment of a worker, and of all that it starts.
MARK = 'HYBRID_LATENT_REWARD_WORKER'
_START_S = 120.0  # importing sympy from a cold network disk takes its time
_PATIENCE = 30  # wall time is at most so many times the limit
_POLL_S = 0.05
_SWEEP_S = 5.0  # for processes that start others as fast as they are killed


class Worker:
  """A worker process, and the next one when it had to be killed."""

  def __init__(self, setup: bytes):
    self._setup = setup
    self._reaping = threading.Lock()
    self._requests_made = 0
    self._begin()

  def wait_ready(self) -> None:
    """Returns when the rewards are imported, in a new process if need be."""
    if self._process.returncode is not None:
      self.end()
      self._begin()
    if self._ready:
      return
    try:
      answer = self._exchange(b'', _START_S)
    except (ConnectionError, TimeoutError) as error:
      raise RuntimeError(
        f'a reward worker was not ready, {error}; what it wrote to standard '
        'error says why'
      ) from None
    if 'error' in answer:
      raise ValueError(answer['error'])
    self._ready = True

  def answer(self, line: bytes, seconds: float) -> dict:
    """The answer to a request. ConnectionError where the process died,
    TimeoutError where it took longer; it is then gone, with all it started."""
    self.wait_ready()
    self._requests_made += 1
    number = self._requests_made
    request = b'{"request": %d, ' % number + line.removeprefix(b'{')
    answer = self._exchange(request, seconds)
    if not isinstance(answer, dict) or answer.get('request') != number:
      self.end()
      raise ConnectionError('its worker answered nonsense')
    return answer

  def kill(self) -> None:
    """The process, and whatever a reward has started in it."""
    with self._reaping:  # a number that is waited for may be another's
      pid = self._process.pid
      lives = self._process.poll() is None
      others = family({pid} if lives else set(), self._mark)
      if lives:
        os.killpg(pid, signal.SIGKILL)
        self._process.wait()
      kill_all(others, self._mark)

  def end(self) -> None:
    """Kills, and closes the pipes."""
    self.kill()
    for pipe in self._process.stdin, self._process.stdout:
      if pipe:
        pipe.close()

  def _begin(self) -> None:
    self._ready = False
    self._mark = os.urandom(16).hex()
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    # -P: search the working directory only where this process does.
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
    with suppress(BrokenPipeError):  # `wait_ready` will see it
      os.write(self._requests, self._setup)
    os.set_blocking(self._requests, False)

  def _exchange(self, line: bytes, seconds: float) -> dict:
    """Sends a line and reads one, with an eye on the time and the process."""
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
          except BrokenPipeError:  # it died before it had read it all
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
        wall = time.monotonic() - start
        spent = wall - (_waited_s(self._process.pid) - waited)
        if spent > seconds or wall > _PATIENCE * seconds:
          self.end()
          raise TimeoutError(f'its worker took more than {seconds} s')
    try:
      return json.loads(answer)
    except ValueError:  # a reward wrote into the pipe
      self.end()
      raise ConnectionError('its worker answered nonsense') from None


def family(roots: set[int], mark: str) -> set[int]:
  """The living processes with `mark` in the environment they began with,
  whoever their parent is by now, and all below those and below `roots`."""
  parents, found = {}, set(roots)
  for folder in Path('/proc').glob('[0-9]*'):
    with suppress(OSError):  # it has ended, or is another user's
      pid = int(folder.name)
      stat = (folder / 'stat').read_text('utf-8', 'replace')
      parents[pid] = int(stat.rpartition(')')[2].split()[1])
      if mark.encode() in (folder / 'environ').read_bytes():
        found.add(pid)
  new = found
  while new:
    new = {pid for pid, parent in parents.items() if parent in new} - found
    found |= new
  return found - roots


def kill_all(pids: set[int], mark: str) -> None:
  """Kills processes and all with `mark` but this one, until none is left."""
  end, this = time.monotonic() + _SWEEP_S, {os.getpid()}
  while (pids := pids - this) and time.monotonic() < end:
    for pid in pids:
      with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    pids = family(set(), mark)


def _waited_s(pid: int) -> float:
  """How long a process could have run while others had the cores."""
  try:
    return int(Path(f'/proc/{pid}/schedstat').read_text().split()[1]) * 1e-9
  except OSError:
    return 0.0
