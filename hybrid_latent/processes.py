"""Start and end of the processes of a run: what a command does around it."""

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

_HEARTBEAT_S = 30  # without a heartbeat for as long a process is lost
_CHILD = 'HYBRID_LATENT_CHILD'
_VARIABLES = (
  'JAX_COORDINATOR_ADDRESS',  # host:port of process 0
  'JAX_NUM_PROCESSES',
  'JAX_PROCESS_ID',
)
_NAMES = {signal.SIGINT: 'Ctrl-C', signal.SIGTERM: 'SIGTERM'}


def expected(environ: Mapping[str, str] = os.environ) -> bool:
  """Whether this process is one of several: the environment has
  JAX_NUM_PROCESSES, several SLURM tasks, several TPU workers or
  HYBRID_LATENT_DISTRIBUTED=1."""
  return (
    any(name in environ for name in _VARIABLES)
    or environ.get('HYBRID_LATENT_DISTRIBUTED') == '1'
    or int(environ.get('SLURM_NTASKS', 1)) > 1
    or ',' in environ.get('TPU_WORKER_HOSTNAMES', '')
  )


def join(environ: Mapping[str, str] = os.environ) -> None:
  """Joins this process to its cluster, before jax is used: by
  JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or by jax's
  detection of SLURM, a TPU pod or Kubernetes. ValueError where only some of the
  three are set."""
  values = {name: environ[name] for name in _VARIABLES if name in environ}
  if missing := sorted(set(_VARIABLES) - values.keys()):
    if values:
      raise ValueError(f'{sorted(values)} are set: set {missing} too, or none')
    jax.distributed.initialize(heartbeat_timeout_seconds=_HEARTBEAT_S)
  else:
    address, num_processes, process_id = values.values()
    jax.distributed.initialize(
      address,
      int(num_processes),
      int(process_id),
      heartbeat_timeout_seconds=_HEARTBEAT_S,
    )


def supervised(workdir: str) -> int:
  """Runs this command as a child of this process; returns its exit code.

  Where a process of a run is lost, jax's runtime aborts the others at once.
  Their parents remain to print the cause and the next command.
  """
  env = os.environ | {_CHILD: '1'}
  command = [sys.executable, *sys.orig_argv[1:]]
  # Outside the terminal's process group: else it receives Ctrl-C twice.
  child = subprocess.Popen(
    command, env=env, stdin=subprocess.PIPE, process_group=0
  )
  for number in signal.SIGTERM, signal.SIGINT:
    signal.signal(number, lambda number, _: child.send_signal(number))
  status = child.wait()
  if status >= 0:
    return status
  if status == -signal.SIGINT:  # before the child had its signal handlers
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
    'another process of the run was lost (see its log). The same command '
    f'resumes from the last checkpoint in {workdir}; exit code {RESTART}'
  )


def is_child() -> bool:
  """Whether `supervised` started this process. A child ends with its parent,
  which holds the other end of its standard input."""
  if _CHILD not in os.environ:
    return False
  # Reading returns when the parent is gone, however that ended.
  end = lambda: (sys.stdin.read(), os.kill(os.getpid(), signal.SIGKILL))
  threading.Thread(target=end, daemon=True).start()
  return True


@contextmanager
def ending_together(workdir: str) -> Iterator[None]:
  """Context of a run that may end early. Of several processes none waits for
  one that has failed: an exception ends its process at once, and so the others.

  SIGTERM and the first Ctrl-C set `preemption_requested`; a second Ctrl-C ends
  the run at once, and so does either signal before the first step is over.
  """
  with _signal_handlers(workdir):
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
      # A collective whose peer is gone raises this; out of memory does too.
      out_of_memory = str(error).startswith('RESOURCE_EXHAUSTED')
      lost = isinstance(error, jax.errors.JaxRuntimeError) and not out_of_memory
      process = f'process {jax.process_index()} of {jax.process_count()}'
      then = _lost(workdir) if lost else f'last checkpoint in {workdir}'
      print(f'{process} failed; {then}', file=sys.stderr, flush=True)
      # In a normal exit jax would wait for the other processes.
      os._exit(RESTART if lost else 1)


@contextmanager
def _signal_handlers(workdir: str) -> Iterator[None]:
  """Handles SIGTERM and Ctrl-C inside, and restores the handlers after.

  Python runs a handler in the main thread, which may be compiling for minutes.
  What has to happen at once is done by a thread that reads the signals' numbers
  from a pipe.
  """
  preemption.__init__()
  # With several processes jax handles SIGTERM and passes it to all of them.
  alone = jax.process_count() == 1
  numbers = (signal.SIGINT, signal.SIGTERM)[: 1 + alone]
  before = {n: signal.signal(n, lambda n, _: _preempt(n)) for n in numbers}
  end, start = os.pipe()
  os.set_blocking(start, False)
  wakeup = signal.set_wakeup_fd(start)
  thread = threading.Thread(target=_watch, args=(end, workdir), daemon=True)
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
  if not preemption.requested.is_set():
    preemption.cause = _NAMES[number]
    preemption.requested.set()


def _watch(end, workdir):
  """Ends the run at once at a signal during the first step, or at a second
  Ctrl-C; runs in a thread."""
  interrupted = False
  while number := os.read(end, 1):
    name = _NAMES.get(signal.Signals(number[0]))
    # The second call comes after the first step: then there is a state to save.
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
      # jax forwards SIGTERM only: this reaches the other processes.
      if jax.process_count() > 1:
        os.kill(os.getpid(), signal.SIGTERM)
  os.close(end)


def _end_at_once(cause, text):
  code = exit_code(cause)
  print(f'{cause}: {text}, exit code {code}', file=sys.stderr, flush=True)
  os._exit(code)
