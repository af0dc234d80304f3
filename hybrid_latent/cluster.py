"""Several processes as one run: how they meet, and how they end.

Every host runs the same program. Each reads its own rows of a batch, grades
its own completions and holds its own part of the arrays (sharding.from_host).
"""

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import jax
from jax.experimental import multihost_utils

from hybrid_latent.types import PyTree

RESTART = 75  # EX_TEMPFAIL: the same command goes on from the last checkpoint
INTERRUPTED = 130  # as a shell has it of Ctrl-C: whoever pressed it restarts
_HEARTBEAT_S = 30  # without a sign of life a process is lost
_CHILD = 'HYBRID_LATENT_CHILD'
_GIVEN = (
  'JAX_COORDINATOR_ADDRESS',  # host:port of process 0
  'JAX_NUM_PROCESSES',
  'JAX_PROCESS_ID',
)


class TrainingStopped(RuntimeError):
  """Training that ended itself, on every process; the text says why and what
  was saved. The exit code of a command is then 1."""


class Ended(SystemExit):
  """A run that ends with this sentence, and no traceback."""

  code: int

  def __init__(self, code: int, text: str):
    super().__init__(code)
    self.text = text


class Preempted(Ended):
  """A run that was told to end, and has saved."""

  def __init__(self, step: int, workdir: str):
    code = _code(_signals.cause)
    saved = f'saved step {step}' if step else 'there was nothing to save yet'
    super().__init__(
      code,
      f'{_signals.cause}: {saved} in {workdir}, exit code {code}; the same '
      'command goes on from there',
    )


def expected(environ: Mapping[str, str] = os.environ) -> bool:
  """Whether this process is to be one of several: the environment has
  JAX_NUM_PROCESSES, several tasks of SLURM or several workers of a TPU, or it
  says HYBRID_LATENT_DISTRIBUTED=1."""
  return (
    any(name in environ for name in _GIVEN)
    or environ.get('HYBRID_LATENT_DISTRIBUTED') == '1'
    or int(environ.get('SLURM_NTASKS', 1)) > 1
    or ',' in environ.get('TPU_WORKER_HOSTNAMES', '')
  )


def join(environ: Mapping[str, str] = os.environ) -> None:
  """Makes this process one of its cluster's, before jax is used: by
  JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or by what jax
  finds of SLURM, a TPU pod or Kubernetes. ValueError where only some of the
  three are given."""
  given = {name: environ[name] for name in _GIVEN if name in environ}
  if missing := sorted(set(_GIVEN) - given.keys()):
    if given:
      raise ValueError(f'{sorted(given)} are set: set {missing} too, or none')
    jax.distributed.initialize(heartbeat_timeout_seconds=_HEARTBEAT_S)
  else:
    address, count, which = given.values()
    jax.distributed.initialize(
      address,
      int(count),
      int(which),
      heartbeat_timeout_seconds=_HEARTBEAT_S,
    )


def supervised(workdir: str) -> int:
  """This command as a child of this process, and its exit code.

  Where a process of a run is lost, jax's runtime aborts the others, in the
  middle of whatever they do. Their parents say so, and what to do.
  """
  env = os.environ | {_CHILD: '1'}
  command = [sys.executable, *sys.orig_argv[1:]]
  # Not of the terminal's group: it hears of Ctrl-C from here, once.
  child = subprocess.Popen(
    command, env=env, stdin=subprocess.PIPE, process_group=0
  )
  for number in signal.SIGTERM, signal.SIGINT:
    signal.signal(number, lambda number, _: child.send_signal(number))
  status = child.wait()
  if status >= 0:
    return status
  if status == -signal.SIGINT:  # before it listened
    return INTERRUPTED
  print(
    f'ended by {signal.Signals(-status).name}: this process was killed, or '
    + _lost(workdir),
    file=sys.stderr,
    flush=True,
  )
  return RESTART


def _lost(workdir):
  return (
    'another one of the run was lost and its own log says why. The same '
    f'command resumes from the last checkpoint in {workdir}; exit code '
    f'{RESTART}'
  )


def is_child() -> bool:
  """Whether `supervised` began this process. Such a one ends with its parent,
  which holds the other end of its standard input."""
  if _CHILD not in os.environ:
    return False
  end = lambda: (sys.stdin.read(), os.kill(os.getpid(), signal.SIGKILL))
  threading.Thread(target=end, daemon=True).start()
  return True


@contextmanager
def ending_together(workdir: str) -> Iterator[None]:
  """Where a run may end early. Of several processes none waits for one that
  has failed: an exception ends its process at once, and so the others.

  SIGTERM and the first Ctrl-C are what `told_to_end` tells, a second Ctrl-C
  ends the run at once, and so does any of them before the first step is over.
  """
  with _signals.heard(workdir):
    try:
      try:
        yield
      except TrainingStopped as end:
        raise Ended(1, f'error: {end}') from end
    except Ended as end:
      print(end.text, file=sys.stderr, flush=True)
      if jax.process_count() > 1 and not isinstance(end, Preempted):
        os._exit(end.code)
      raise
    except BaseException as error:
      if jax.process_count() == 1:
        raise
      traceback.print_exc()
      # What a collective says when its peer is gone.
      lost = isinstance(error, jax.errors.JaxRuntimeError) and not str(
        error
      ).startswith('RESOURCE_EXHAUSTED')
      which = f'process {jax.process_index()} of {jax.process_count()}'
      why = _lost(workdir) if lost else f'last checkpoint in {workdir}'
      print(f'{which} failed; {why}', file=sys.stderr, flush=True)
      # At a common exit jax would wait for the others.
      os._exit(RESTART if lost else 1)


class _Signals:
  """What this process was sent while it ran.

  Python hands a signal to the main thread, which may be compiling for minutes.
  What has to happen at once is done by a thread that reads the numbers of the
  signals from a pipe.
  """

  def __init__(self):
    self.told = threading.Event()
    self.cause = 'SIGTERM'
    self.steps: set[int] = set()  # that `told_to_end` was asked at

  @contextmanager
  def heard(self, workdir: str) -> Iterator[None]:
    """Signals are heard, and handled as before afterwards."""
    self.__init__()
    # Of several processes SIGTERM is heard by jax, which tells all of them.
    alone = jax.process_count() == 1
    numbers = (signal.SIGINT, signal.SIGTERM)[: 1 + alone]
    before = {n: signal.signal(n, lambda n, _: self._tell(n)) for n in numbers}
    end, start = os.pipe()
    os.set_blocking(start, False)
    wakeup = signal.set_wakeup_fd(start)
    thread = threading.Thread(
      target=self._listen, args=(end, workdir), daemon=True
    )
    thread.start()
    try:
      yield
    finally:
      signal.set_wakeup_fd(wakeup)
      for number, handler in before.items():
        signal.signal(number, handler)
      os.close(start)
      thread.join()

  def _tell(self, number):
    if not self.told.is_set():
      self.cause = _NAMES[number]
      self.told.set()

  def _listen(self, end, workdir):
    interrupted = False
    while number := os.read(end, 1):
      name = _NAMES.get(signal.Signals(number[0]))
      if len(self.steps) < 2 and name:
        _end_at_once(
          name, f'ended before the first step was over; {workdir} is as it was'
        )
      if name == 'Ctrl-C':
        if interrupted:
          _end_at_once(
            name, f'ended at once; {workdir} has what was saved before'
          )
        interrupted = True
        print(
          'Ctrl-C: saves when this step is over; again ends at once',
          file=sys.stderr,
          flush=True,
        )
        if jax.process_count() > 1:
          os.kill(os.getpid(), signal.SIGTERM)
    os.close(end)


_NAMES = {signal.SIGINT: 'Ctrl-C', signal.SIGTERM: 'SIGTERM'}
_signals = _Signals()


def _code(cause):
  return INTERRUPTED if cause == 'Ctrl-C' else RESTART


def _end_at_once(cause, text):
  code = _code(cause)
  print(f'{cause}: {text}, exit code {code}', file=sys.stderr, flush=True)
  os._exit(code)


def told_to_end(step: int) -> bool:
  """Whether SIGTERM or Ctrl-C came, to any process; the same answer on all of
  them. Each asks once a step."""
  _signals.steps.add(step)
  if jax.process_count() == 1:
    return _signals.told.is_set()
  return multihost_utils.reached_preemption_sync_point(step)


def all_rows(tree: PyTree) -> PyTree:
  """The rows of all hosts, from those of each, as numpy."""
  if jax.process_count() == 1:
    return tree
  return multihost_utils.process_allgather(tree, tiled=True)
