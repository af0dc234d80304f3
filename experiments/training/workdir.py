"""Locks and checks the working directory of a command."""

import errno
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import jax
from etils import epath
from jax.experimental import multihost_utils

from hybrid_latent.checkpoint import Checkpoints, SaveError
from hybrid_latent.cluster import Ended

from .. import PACKAGE
from .cli import Config
from .lock import locked
from .resume import validate_resume
from .run_config import write_run

# Errors of the machine, which no change of the command fixes.
_REFUSALS = (
  *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
  *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE),
)


@contextmanager
def opened(
  config: Config, workdir: str, *, resumes: bool = True
) -> Iterator[None]:
  """Locks WORKDIR for this command.

  Where it `resumes`, the newest complete checkpoint has to be of a run of
  `config`, and WORKDIR/config.json is written: by `Loop` once it has restored,
  else at the end. Other commands check their own files and call `write_run`.
  ValueError before anything is written; where a later write fails on the
  machine, the process ends with one sentence and exit code 1.
  """
  with ExitStack() as stack:
    refusal = ''
    if jax.process_index() == 0:
      for name in PACKAGE, 'hybrid_latent':  # progress, from one process
        logging.getLogger(name).setLevel(logging.INFO)
      try:
        stack.enter_context(locked(workdir))
      except ValueError as error:
        refusal = str(error)
    if _on_process_0(bool(refusal)):
      raise ValueError(
        refusal or f'--workdir={workdir}: process 0 logs the error'
      )
    if resumes:
      checkpoints = Checkpoints(f'{workdir}/checkpoints')
      if step := checkpoints.latest:
        validate_resume(checkpoints.notes(step), config, workdir)
        resumes = step <= config.max_steps  # else config.json stays
    before = _written(workdir)
    try:
      yield
      if resumes and _written(workdir) == before:  # a trainer without a Loop
        write_run(config, workdir)
    except OSError as error:
      if not isinstance(error, SaveError) and error.errno not in _REFUSALS:
        raise
      raise Ended(1, _message(error, workdir)) from error


def _written(workdir: str) -> bytes:
  path = epath.Path(workdir) / 'config.json'
  return path.read_bytes() if path.exists() else b''


def _on_process_0(value: bool) -> bool:
  """The value of process 0, on all processes."""
  if jax.process_count() == 1:
    return value
  return bool(multihost_utils.broadcast_one_to_all(value))


def _message(error: OSError, workdir: str) -> str:
  """The error of the machine, and the last checkpoint of the run."""
  text = str(error)
  if not isinstance(error, SaveError):  # its text has the checkpoint
    file = f': {error.filename}' if error.filename else ''
    steps = Checkpoints(f'{workdir}/checkpoints').steps
    saved = f'step {steps[-1]} is saved' if steps else 'nothing was saved'
    text = f'{error.strerror}{file}; {saved} in {workdir}'
  return (
    f'error: {text}: fix that, and the same command resumes from there; exit '
    'code 1'
  )
