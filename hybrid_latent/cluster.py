"""Several processes as one run: what its loop asks of all of them, and how it
ends.

Every host runs the same program. Each reads its own rows of a batch, grades
its own completions and holds its own part of the arrays (sharding.from_host).
"""

import threading

import jax
from jax.experimental import multihost_utils

from hybrid_latent.types import PyTree

RESTART = 75  # EX_TEMPFAIL: the same command goes on from the last checkpoint
INTERRUPTED = 130  # as a shell has it of Ctrl-C: whoever pressed it restarts


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
    code = exit_code(preemption.cause)
    saved = f'saved step {step}' if step else 'there was nothing to save yet'
    super().__init__(
      code,
      f'{preemption.cause}: {saved} in {workdir}, exit code {code}; the same '
      'command goes on from there',
    )


class Preemption:
  """Whether this process was told to end, which processes.ending_together
  notes, and why."""

  def __init__(self):
    self.told = threading.Event()
    self.cause = 'SIGTERM'
    self.steps: set[int] = set()  # that `preemption_requested` was asked at


preemption = Preemption()


def exit_code(cause: str) -> int:
  """Of a run that was told to end."""
  return INTERRUPTED if cause == 'Ctrl-C' else RESTART


def preemption_requested(step: int) -> bool:
  """Whether SIGTERM or Ctrl-C came, to any process; the same answer on all of
  them. Each asks once a step."""
  preemption.steps.add(step)
  if jax.process_count() == 1:
    return preemption.told.is_set()
  return multihost_utils.reached_preemption_sync_point(step)


def all_rows(tree: PyTree) -> PyTree:
  """The rows of all hosts, from those of each, as numpy."""
  if jax.process_count() == 1:
    return tree
  return multihost_utils.process_allgather(tree, tiled=True)
