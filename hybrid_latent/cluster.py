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
_HEARTBEAT_S = 30  # without a sign of life a process is lost
_CHILD = 'HYBRID_LATENT_CHILD'
_GIVEN = (
  'JAX_COORDINATOR_ADDRESS',  # host:port of process 0
  'JAX_NUM_PROCESSES',
  'JAX_PROCESS_ID',
)


class TrainingStopped(RuntimeError):
  """A run that ended itself, on every process; its text says why and what was
  saved. The exit code is 1."""


class Preempted(SystemExit):
  """A run that was told to end, and has saved."""

  def __init__(self, step: int, workdir: str):
    super().__init__(RESTART)
    self.text = (
      f'SIGTERM: saved step {step} in {workdir}, exit code {RESTART}; the same '
      'command goes on from there'
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
  child = subprocess.Popen(command, env=env, stdin=subprocess.PIPE)
  signal.signal(signal.SIGTERM, lambda *_: child.terminate())
  status = child.wait()
  if status >= 0:
    return status
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
  has failed: an exception ends its process at once, and so the others."""
  if jax.process_count() == 1:
    signal.signal(signal.SIGTERM, lambda *_: _told.set())
  try:
    yield
  except Preempted as end:
    print(end.text, file=sys.stderr, flush=True)
    raise
  except TrainingStopped as end:
    raise SystemExit(f'error: {end}') from end
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


_told = threading.Event()


def told_to_end(step: int) -> bool:
  """Whether SIGTERM came, to any process; the same answer on all of them.
  Each asks once a step."""
  if jax.process_count() == 1:
    return _told.is_set()
  return multihost_utils.reached_preemption_sync_point(step)


def all_rows(tree: PyTree) -> PyTree:
  """The rows of all hosts, from those of each, as numpy."""
  if jax.process_count() == 1:
    return tree
  return multihost_utils.process_allgather(tree, tiled=True)
