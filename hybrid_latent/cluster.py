"""Several processes as one run: collectives of its loop, and how it ends.

Every host runs the same program. Each loads its rows of a batch, grades its
completions and holds its shards of the arrays (sharding.from_host).
"""

import threading

import jax
from jax.experimental import multihost_utils

from hybrid_latent.types import PyTree

RESTART = 75  # EX_TEMPFAIL: the same command goes on from the last checkpoint
INTERRUPTED = 130  # as in a shell after Ctrl-C: no automatic restart


class TrainingStopped(RuntimeError):
  """Training that ended itself, on every process; the text says why and what
  was saved. The exit code of a command is then 1."""


class Ended(SystemExit):
  """A run that ends with this text and no traceback."""

  code: int

  def __init__(self, code: int, text: str):
    super().__init__(code)
    self.text = text


class Preempted(Ended):
  """A run that was preempted, and has saved."""

  def __init__(self, step: int, workdir: str):
    code = exit_code(preemption.cause)
    saved = f'saved step {step}' if step else 'there was nothing to save yet'
    super().__init__(
      code,
      f'{preemption.cause}: {saved} in {workdir}, exit code {code}; the same '
      'command goes on from there',
    )


class Preemption:
  """Whether this process was preempted, and by which signal; set by
  processes.ending_together."""

  def __init__(self):
    self.requested = threading.Event()
    self.cause = 'SIGTERM'
    self.steps: set[int] = set()  # at which `preemption_requested` was called


preemption = Preemption()


def exit_code(cause: str) -> int:
  """The exit code of a run that was preempted."""
  return INTERRUPTED if cause == 'Ctrl-C' else RESTART


def preemption_requested(step: int) -> bool:
  """Whether any process received SIGTERM or Ctrl-C; the same result on all of
  them. To be called once per step by each."""
  preemption.steps.add(step)
  if jax.process_count() == 1:
    return preemption.requested.is_set()
  return multihost_utils.reached_preemption_sync_point(step)


def all_rows(tree: PyTree) -> PyTree:
  """The rows of all hosts, gathered on each, as numpy."""
  if jax.process_count() == 1:
    return tree
  return multihost_utils.process_allgather(tree, tiled=True)
