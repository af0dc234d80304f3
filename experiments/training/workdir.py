"""A working directory while a command writes to it."""

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

# What the machine refuses, and no edit of the command mends.
_REFUSALS = (
  *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
  *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE),
)


@contextmanager
def opened(
  config: Config, workdir: str, *, resumes: bool = True
) -> Iterator[None]:
  """WORKDIR for this command alone, which writes there from now on.

  Where it `resumes`, the run of the newest whole checkpoint has to be that of
  `config`; once all that it begins with is there (`Loop`), or at its end,
  WORKDIR/config.json says what it takes to repeat the run. Other commands
  compare what they have and call `write_run` themselves. ValueError before
  anything is written; where the machine refuses to write later, the process
  ends with one sentence and exit code 1.
  """
  with ExitStack() as stack:
    refused = ''
    if jax.process_index() == 0:
      for name in PACKAGE, 'hybrid_latent':  # log how far it is
        logging.getLogger(name).setLevel(logging.INFO)
      try:
        stack.enter_context(locked(workdir))
      except ValueError as error:
        refused = str(error)
    if _anywhere(bool(refused)):
      raise ValueError(
        refused or f'--workdir={workdir}: process 0 says why not'
      )
    if resumes:
      checkpoints = Checkpoints(f'{workdir}/checkpoints')
      if step := checkpoints.latest:
        validate_resume(checkpoints.notes(step), config, workdir)
        resumes = step <= config.max_steps  # else config.json stays as it is
    before = _written(workdir)
    try:
      yield
      if resumes and _written(workdir) == before:  # a trainer without a Loop
        write_run(config, workdir)
    except OSError as error:
      if not isinstance(error, SaveError) and error.errno not in _REFUSALS:
        raise
      raise Ended(1, _told(error, workdir)) from error


def _written(workdir: str) -> bytes:
  path = epath.Path(workdir) / 'config.json'
  return path.read_bytes() if path.exists() else b''


def _anywhere(here: bool) -> bool:
  """Whether it is so on process 0, on all."""
  if jax.process_count() == 1:
    return here
  return bool(multihost_utils.broadcast_one_to_all(here))


def _told(error: OSError, workdir: str) -> str:
  """What the machine refused, and what of the run is there."""
  what = str(error)
  if not isinstance(error, SaveError):  # which says it
    where = f': {error.filename}' if error.filename else ''
    kept = Checkpoints(f'{workdir}/checkpoints').steps
    saved = f'step {kept[-1]} is saved' if kept else 'nothing was saved'
    what = f'{error.strerror}{where}; {saved} in {workdir}'
  return (
    f'error: {what}. Once that is mended the same command goes on from there; '
    'exit code 1'
  )
