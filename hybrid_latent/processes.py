"""How the processes of a run begin and end: what a command does around it."""

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import jax

from hybrid_latent.cluster import (
  INTERRUPTED,
  RESTART,
  Ended,
  Preempted,
  TrainingStopped,
  exit_code,
  preemption,
)

_HEARTBEAT_S = 30  # without a sign of life a process is lost
_CHILD = 'HYBRID_LATENT_CHILD'
_GIVEN = (
  'JAX_COORDINATOR_ADDRESS',  # host:port of process 0
  'JAX_NUM_PROCESSES',
  'JAX_PROCESS_ID',
)
_NAMES = {signal.SIGINT: 'Ctrl-C', signal.SIGTERM: 'SIGTERM'}


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
  with _signals_heard(workdir):
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


@contextmanager
def _signals_heard(workdir: str) -> Iterator[None]:
  """Signals are heard, and handled as before afterwards.

  Python hands a signal to the main thread, which may be compiling for minutes.
  What has to happen at once is done by a thread that reads the numbers of the
  signals from a pipe.
  """
  preemption.__init__()
  # Of several processes SIGTERM is heard by jax, which tells all of them.
  alone = jax.process_count() == 1
  numbers = (signal.SIGINT, signal.SIGTERM)[: 1 + alone]
  before = {n: signal.signal(n, lambda n, _: _preempt(n)) for n in numbers}
  end, start = os.pipe()
  os.set_blocking(start, False)
  wakeup = signal.set_wakeup_fd(start)
  thread = threading.Thread(target=_listen, args=(end, workdir), daemon=True)
  thread.start()
  try:
    yield
  finally:
    signal.set_wakeup_fd(wakeup)
    for number, handler in before.items():
      signal.signal(number, handler)
    os.close(start)
    thread.join()


def _preempt(number):
  if not preemption.told.is_set():
    preemption.cause = _NAMES[number]
    preemption.told.set()


def _listen(end, workdir):
  interrupted = False
  while number := os.read(end, 1):
    name = _NAMES.get(signal.Signals(number[0]))
    if len(preemption.steps) < 2 and name:
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


def _end_at_once(cause, text):
  code = exit_code(cause)
  print(f'{cause}: {text}, exit code {code}', file=sys.stderr, flush=True)
  os._exit(code)
