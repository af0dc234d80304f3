"""Saving and resuming a run with Orbax: arrays by name, the rest as JSON."""

import errno
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as preserve

from hybrid_latent import integrity
from hybrid_latent.trees import map_named, named_leaves
from hybrid_latent.types import PyTree

_log = logging.getLogger(__name__)


class SaveError(OSError):
  """A checkpoint could not be written."""


class Checkpoints:
  """The checkpoints of one run: the last `keep` of them, and the one with the
  highest metric `best`.

  They are written in the background; a checkpoint gets its final name only when
  it is complete, with a digest of each of its files (integrity.py). Reading
  verifies the digests first and does not change the directory. The first `save`
  cleans it up: it removes what a killed run was writing or deleting, and
  renames a broken step that is newer than the newest whole one to STEP.broken.
  """

  def __init__(self, directory: str, *, keep: int = 2, best: str = ''):
    self._directory = epath.Path(directory).resolve()
    self._keep, self._best = keep, best
    self._manager: ocp.CheckpointManager | None = None
    self._saved: int | None = None  # the step that is being written
    logging.getLogger('absl').addFilter(_is_not_raised)

  @property
  def latest(self) -> int | None:
    """The newest whole step; a warning names the broken ones that are newer.
    None where there is no step, ValueError where none is whole."""
    faults: dict[int, str] = {}
    latest, steps = -1, self.steps
    # Process 0 alone reads the files, and all processes must agree on a step:
    # -1 stands for no checkpoint, -2 for none that is whole.
    if jax.process_index() == 0:
      for step in reversed(steps):
        if (fault := integrity.fault(self._directory / str(step))) is None:
          latest = step
          break
        faults[step] = fault
      if latest < 0 and faults:
        latest = -2
    if jax.process_count() > 1:
      latest = int(multihost_utils.broadcast_one_to_all(latest))
    broken = [f'  {self._directory / str(s)}: {x}' for s, x in faults.items()]
    if latest == -2:
      raise ValueError(
        '\n'.join([f'no checkpoint in {self._directory} is whole:', *broken])
        + '\nDelete that folder to begin again, or choose another --workdir'
      )
    if broken:
      _log.warning(
        'step %d is the newest whole checkpoint; delete what is broken:\n%s',
        latest,
        '\n'.join(broken),
      )
    return None if latest < 0 else latest

  @property
  def best(self) -> int | None:
    """The step of the highest metric, the newest of several."""
    paths = {s: self._directory / f'{s}/metrics/metrics' for s in self.steps}
    scores = [
      (self._score(json.loads(path.read_text())), step)
      for step, path in paths.items()
      if path.exists() and integrity.fault(path.parents[1]) is None
    ]
    return max(scores)[1] if scores else None

  @property
  def steps(self) -> list[int]:
    """All steps in the directory, including broken ones; waits for the one that
    is being written."""
    self.wait()
    return self._listed()

  def save(
    self,
    step: int,
    state: PyTree,
    notes: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
  ) -> None:
    """`state`: a tree of arrays; `notes`: JSON values. Raises SaveError where
    this save or, in the background, the one before failed."""
    manager = self._manager = self._manager or self._opened()
    self.wait()
    self._saved = step
    with self._writing():
      manager.save(
        step,
        metrics=dict(metrics or {}),
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(named_leaves(state)),
          notes=ocp.args.JsonSave(dict(notes)),
          digests=integrity.DigestsSave(),
        ),
      )

  def notes(self, step: int) -> dict[str, Any]:
    """The JSON half of a checkpoint. ValueError where it is broken."""
    return json.loads((self._whole(step) / 'notes/metadata').read_text())

  def names(self, step: int) -> list[str]:
    """The names of a checkpoint's arrays."""
    return list(self._arrays(step))

  def restore(self, step: int, like: PyTree, partial: bool = False) -> PyTree:
    """The arrays, with the structure, shapes and shardings of `like`; with
    `partial` the checkpoint may hold more arrays, which are not read.
    ValueError where it is broken."""
    expected = {
      name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
      for name, x in named_leaves(like).items()
    }
    # Checked here for an error that lists the arrays that differ.
    self._check_names(step, expected, partial)
    folder = self._directory / str(step)
    try:
      arrays = ocp.PyTreeCheckpointHandler().restore(
        folder / 'state',
        args=ocp.args.PyTreeRestore(
          expected,
          ocp.checkpoint_utils.construct_restore_args(expected),
          partial_restore=partial,
        ),
      )
    except (ValueError, OSError, KeyError) as error:
      # Only of a checkpoint without digests, which `fault` cannot verify.
      raise ValueError(
        f'{folder}/state: {_reason(error)}: delete it'
      ) from error
    return map_named(lambda name, _: arrays[name], like)

  def wait(self) -> None:
    """Waits until all is written. Raises SaveError where that failed."""
    if self._manager:
      with self._writing():
        self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits until all is written. Raises SaveError where that failed."""
    if self._manager:
      with self._writing():
        self._manager.close()

  def _score(self, metrics: Mapping[str, Any]) -> float:
    """The metric `best`; -inf where it is absent, NaN or not a number."""
    score = metrics.get(self._best)
    if not isinstance(score, int | float) or math.isnan(score):
      return -math.inf
    return score

  def _listed(self) -> list[int]:
    if not self._directory.is_dir():
      return []
    names = (x.name for x in self._directory.iterdir() if x.is_dir())
    return sorted(int(x) for x in names if x.isdecimal() and x == str(int(x)))

  @contextmanager
  def _writing(self) -> Iterator[None]:
    """Turns the errors of a save, also of one in the background, into
    SaveError."""
    try:
      yield
    except (ValueError, OSError, RuntimeError) as error:
      if (
        isinstance(error, jax.errors.JaxRuntimeError)
        and jax.process_count() > 1
      ):
        raise  # of a process that is lost, not of the files
      last = max((s for s in self._listed() if s != self._saved), default=0)
      before = (
        f'step {last} is the last one' if last else 'there is none before'
      )
      raise SaveError(
        f'checkpoint {self._saved} could not be written to {self._directory}: '
        f'{_reason(error)}; {before}'
      ) from error

  def _opened(self) -> ocp.CheckpointManager:
    """A manager for writing, after cleaning up the directory."""
    latest = self.latest
    if jax.process_index() == 0:
      for step in self.steps:
        path = self._directory / str(step)
        if latest is None or step == latest or not integrity.fault(path):
          continue
        if step < latest:
          path.rmtree()
          continue
        # The run will write this step again, but a user may want its files.
        renamed = path.with_name(f'{step}.broken')
        if renamed.exists():
          renamed.rmtree()
        path.rename(renamed)
    # No process may begin to write before process 0 has cleaned up.
    if jax.process_count() > 1:
      multihost_utils.sync_global_devices(f'{self._directory} is clean')
    policies: list = [preserve.LatestN(n=self._keep)]
    if self._best:
      policies.append(preserve.BestN(get_metric_fn=self._score, n=1))
    options = ocp.CheckpointManagerOptions(
      preservation_policy=preserve.AnyPreservationPolicy(policies),
      best_fn=self._score if self._best else None,
      create=True,
      cleanup_tmp_directories=True,
    )
    # In this order Orbax finalizes the items: the digests need all others.
    handlers = {
      'state': ocp.StandardCheckpointHandler(),
      'notes': ocp.JsonCheckpointHandler(),
      integrity.ITEM: integrity.DigestsHandler(),
    }
    return ocp.CheckpointManager(
      self._directory, options=options, item_handlers=handlers
    )

  def _whole(self, step) -> epath.Path:
    """The folder of a step; ValueError where it is missing or broken."""
    folder = self._directory / str(step)
    if not folder.is_dir():
      raise ValueError(f'{folder} is no checkpoint: there are {self.steps}')
    if fault := integrity.fault(folder):
      raise ValueError(
        f'checkpoint {folder} is broken: {fault}. Delete that folder; there '
        f'are {self.steps}'
      )
    if not integrity.has_digests(folder):
      _log.warning('%s is of an older version: it has no digests', folder)
    return folder

  def _arrays(self, step) -> dict[str, Any]:
    """The metadata of the arrays, by name."""
    folder = self._whole(step) / 'state'
    try:
      return dict(ocp.PyTreeCheckpointHandler().metadata(folder).tree)
    except (ValueError, OSError, KeyError, TypeError) as error:
      raise ValueError(f'{folder}: {_reason(error)}: delete it') from error

  def _check_names(self, step, expected, partial):
    shape = lambda x: tuple(x.shape)
    saved = {
      name: shape(x)
      for name, x in self._arrays(step).items()
      if name in expected or not partial
    }
    expected = {name: shape(x) for name, x in expected.items()}
    if saved != expected:
      names = sorted(saved.keys() | expected.keys())
      differing = [n for n in names if saved.get(n) != expected.get(n)]
      lines = [
        f'  {n}: saved {saved.get(n)}, expected {expected.get(n)}'
        for n in differing[:8]
      ]
      raise ValueError(
        f'checkpoint {step} does not fit this configuration '
        f'({len(differing)} arrays differ):\n' + '\n'.join(lines) + '\n'
        'Resume with the configuration it was written with, or choose another '
        '--workdir.'
      )


def _reason(error: Exception) -> str:
  """The operating system's error text, which is deep in TensorStore's message;
  else the message's first line."""
  known = errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG
  known += errno.EIO, errno.EMFILE, errno.ENOENT
  texts = (os.strerror(number) for number in known)
  return next(
    (x for x in texts if x in str(error)), str(error).partition('\n')[0]
  )


def _is_not_raised(record: logging.LogRecord) -> bool:
  """False for errors that Orbax logs, with a traceback, and raises as well."""
  return not (record.exc_info and 'orbax' in record.pathname)
