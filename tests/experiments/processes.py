"""Trainers as the commands that people start, and that something may stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import jax

ROOT = Path(__file__).parents[2]
LIMIT_S = 400  # for whatever is waited for
CACHE = (  # a process with another bound would break it for the others
  'jax_compilation_cache_dir',
  'jax_compilation_cache_max_size',
)


class Started(NamedTuple):
  """The processes of one run."""

  processes: list[subprocess.Popen]
  logs: list[Path]

  def codes(self) -> list[int]:
    """Waits for the end of all; their exit codes."""
    end = time.monotonic() + LIMIT_S
    try:
      return [p.wait(max(end - time.monotonic(), 0)) for p in self.processes]
    except subprocess.TimeoutExpired as error:
      raise AssertionError(f'still running:\n{self.said()}') from error

  def wait_for(self, condition: Callable[[], bool]) -> None:
    """Until it holds, which has to be before the run is over."""
    end = time.monotonic() + LIMIT_S
    while not condition():
      alone = all(p.poll() is None for p in self.processes)
      assert alone and time.monotonic() < end, self.said()
      time.sleep(0.01)

  def said(self) -> str:
    """What the processes printed, the last lines of each."""
    texts = [log.read_text(errors='replace')[-3000:] for log in self.logs]
    return '\n'.join(f'--- process {i}\n{text}' for i, text in enumerate(texts))


@contextmanager
def started(
  command: Sequence[str | Path],
  logs: Path,
  *,
  processes: int = 1,
  devices: int = 8,
) -> Iterator[Started]:
  """`python COMMAND` as the processes of one run, with `devices` in all. None
  of them, nor what they started, is left at the end of the `with`."""
  meet = f'localhost:{_free_port()}'
  logs.mkdir(parents=True, exist_ok=True)
  with ExitStack() as stack:
    run = Started([], [logs / f'{i}.log' for i in range(processes)])
    for i, log in enumerate(run.logs):
      env = os.environ | _environment(devices // processes)
      if processes > 1:
        env['JAX_COORDINATOR_ADDRESS'] = meet
        env['JAX_NUM_PROCESSES'] = str(processes)
        env['JAX_PROCESS_ID'] = str(i)
      process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stack.enter_context(log.open('w')),
        stderr=subprocess.STDOUT,
        start_new_session=True,
      )
      stack.callback(_end, process)
      run.processes.append(process)
    yield run


def finished(command: Sequence[str], logs: Path, **sizes: int) -> None:
  """A run to its end."""
  with started(command, logs, **sizes) as run:
    assert not any(run.codes()), run.said()


def child(process: subprocess.Popen) -> int:
  """The process that trains: the other one waits for it."""
  children = Path(f'/proc/{process.pid}/task/{process.pid}/children')
  return int(children.read_text().split()[0])


def alive(pid: int) -> bool:
  """Whether there is this process, and it has not ended."""
  try:
    state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
  except FileNotFoundError:
    return False
  return state[0] != 'Z'


def newest(workdir: Path) -> int:
  """The last step whose checkpoint is complete, 0 before there is one."""
  names = [path.name for path in (workdir / 'checkpoints').glob('*')]
  return max((int(name) for name in names if name.isdigit()), default=0)


def _environment(devices: int) -> dict[str, str]:
  return {
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'kernels')]),
    'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
    'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
    **{name.upper(): str(getattr(jax.config, name)) for name in CACHE},
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',  # many small ones
  }


def _free_port() -> int:
  with socket.socket() as s:
    s.bind(('localhost', 0))
    return s.getsockname()[1]


def _end(process: subprocess.Popen) -> None:
  """And the graders and whatever else it started: they are its session."""
  with suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGKILL)
  process.wait()
