"""A working directory while a command writes to it."""

import errno
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

import jax
from etils import epath
from jax.experimental import multihost_utils

from hybrid_latent.checkpoint import Checkpoints, SaveError
from hybrid_latent.cluster import Ended

from .. import PACKAGE
from .cli import Config
from .lock import locked
from .resume import checked_resume

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
    if jax.process_index() == 0:  # tells how far it is
      for name in PACKAGE, 'hybrid_latent':
        logging.getLogger(name).setLevel(logging.INFO)
    if jax.process_index() == 0:
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
        checked_resume(checkpoints.notes(step), config, workdir)
        resumes = step <= config.steps  # else config.json stays as it is
    before = _written(workdir)
    try:
      yield
      if resumes and _written(workdir) == before:  # a trainer without a Loop
        write_run(config, workdir)
    except OSError as error:
      if not isinstance(error, SaveError) and error.errno not in _REFUSALS:
        raise
      raise Ended(1, _told(error, workdir)) from error


def begin(config: Config, workdir: str, start: int) -> None:
  """Says from which step a run goes on, if `start` is not 0, and writes
  WORKDIR/config.json; not that of one which has gone further than `config`."""
  if start <= config.steps:
    write_run(config, workdir)
  if start and not jax.process_index():
    far = f'already at step {start}, config.steps={config.steps}: nothing is'
    told = f'resumed from step {start}' if start < config.steps else ''
    print(told or f'{far} trained', flush=True)


def write_run(config: Config, workdir: str) -> None:
  """Writes WORKDIR/config.json: the resolved config, the command, and what
  computed it."""
  if jax.process_index():
    return
  packages = 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint'
  about = {
    'config': json.loads(config.to_json_best_effort()),
    'command': sys.argv,
    'cwd': os.getcwd(),  # where its relative paths begin
    'path': _own_path(),
    'revision': revision(),
    'python': platform.python_version(),
    'versions': {name: metadata.version(name) for name in packages},
    'devices': [str(jax.device_count()), jax.devices()[0].device_kind],
    'processes': jax.process_count(),
  }
  folder = epath.Path(workdir)
  folder.mkdir(parents=True, exist_ok=True)
  part = folder / 'config.json.part'
  part.write_text(json.dumps(about, indent=2))
  part.replace(folder / 'config.json')


def _own_path() -> list[str]:
  """The search path of modules without those of Python itself."""
  found = map(os.path.abspath, sys.path)
  pythons = (*{sys.prefix, sys.base_prefix},)
  return [x for x in found if not x.startswith(pythons)]


def _written(workdir: str) -> bytes:
  path = epath.Path(workdir) / 'config.json'
  return path.read_bytes() if path.exists() else b''


def revision() -> str:
  """The git commit of this code, with '+' where it was edited since; its
  version where it is installed and not checked out."""
  git = ['git', '-C', str(Path(__file__).parent)]
  ask = lambda *words: subprocess.run(
    [*git, *words], capture_output=True, text=True
  )
  head = ask('rev-parse', 'HEAD')
  if ask('ls-files', '--error-unmatch', __file__).returncode:
    return metadata.version('hybrid-latent')
  edited = ask('status', '--porcelain', '--untracked-files=no').stdout
  return head.stdout.strip() + ('+' if edited else '')


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
