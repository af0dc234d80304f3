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
  """The checkpoints of one run: the last `keep` of them, and the one that was
  saved with the highest metric `best`.

  Writing goes on in the background; a checkpoint appears under its final name
  only when it is complete, with a digest of each of its files (integrity.py).
  What is read is compared with them first. A directory that is only read is
  not changed. The first `save` cleans it up: what a killed run has begun to
  write or to delete is removed, and a broken step that is newer than the newest
  whole one is renamed to STEP.broken.
  """

  def __init__(self, directory: str, *, keep: int = 2, best: str = ''):
    self._directory = epath.Path(directory).resolve()
    self._keep, self._best = keep, best
    self._manager: ocp.CheckpointManager | None = None
    self._saved: int | None = None  # the step that is being written
    logging.getLogger('absl').addFilter(_not_raised)

  @property
  def latest(self) -> int | None:
    """The newest whole step; a warning names the broken ones that are newer.
    None where there is no step, ValueError where none is whole."""
    faults: dict[int, str] = {}
    found, steps = -1, self.steps
    if jax.process_index() == 0:
      for step in reversed(steps):
        if (wrong := integrity.fault(self._directory / str(step))) is None:
          found = step
          break
        faults[step] = wrong
      if found < 0 and faults:
        found = -2
    if jax.process_count() > 1:
      found = int(multihost_utils.broadcast_one_to_all(found))
    broken = [f'  {self._directory / str(s)}: {x}' for s, x in faults.items()]
    if found == -2:
      raise ValueError(
        '\n'.join([f'no checkpoint in {self._directory} is whole:', *broken])
        + '\nDelete that folder to begin again, or choose another --workdir'
      )
    if broken:
      _log.warning(
        'step %d is the newest whole checkpoint; delete what is broken:\n%s',
        found,
        '\n'.join(broken),
      )
    return None if found < 0 else found

  @property
  def best(self) -> int | None:
    """The step of the highest metric, the newest of several."""
    paths = {s: self._directory / f'{s}/metrics/metrics' for s in self.steps}
    figures = [
      (self._figure(json.loads(path.read_text())), step)
      for step, path in paths.items()
      if path.exists() and integrity.fault(path.parents[1]) is None
    ]
    return max(figures)[1] if figures else None

  @property
  def steps(self) -> list[int]:
    """All steps that are kept, the broken ones too; waits for what is still
    being written."""
    self.wait()
    return self._listed()

  def save(
    self,
    step: int,
    state: PyTree,
    notes: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
  ) -> None:
    """`state`: a tree of arrays; `notes`: whatever JSON can hold. Raises
    SaveError where this or the save before could not be written."""
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
    """What the arrays of a checkpoint are called."""
    return list(self._arrays(step))

  def restore(self, step: int, like: PyTree, partial: bool = False) -> PyTree:
    """The arrays, with the structure, shapes and shardings of `like`; where it
    is `partial`, the checkpoint may hold more, which is not read. ValueError
    where it is broken."""
    wanted = {
      name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
      for name, x in named_leaves(like).items()
    }
    self._check_names(step, wanted, partial)
    folder = self._directory / str(step)
    try:
      found = ocp.PyTreeCheckpointHandler().restore(
        folder / 'state',
        args=ocp.args.PyTreeRestore(
          wanted,
          ocp.checkpoint_utils.construct_restore_args(wanted),
          partial_restore=partial,
        ),
      )
    except (ValueError, OSError, KeyError) as error:
      # One without digests: else it was seen before.
      raise ValueError(
        f'{folder}/state: {_reason(error)}: delete it'
      ) from error
    return map_named(lambda name, _: found[name], like)

  def wait(self) -> None:
    """Until all is written. Raises SaveError where that could not be."""
    if self._manager:
      with self._writing():
        self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for what is still being written. Raises SaveError where that could
    not be."""
    if self._manager:
      with self._writing():
        self._manager.close()

  def _figure(self, metrics: Mapping[str, Any]) -> float:
    """What `best` compares: anything but a number, NaN too, is the worst."""
    found = metrics.get(self._best)
    if not isinstance(found, int | float) or math.isnan(found):
      return -math.inf
    return found

  def _listed(self) -> list[int]:
    if not self._directory.is_dir():
      return []
    names = (x.name for x in self._directory.iterdir() if x.is_dir())
    return sorted(int(x) for x in names if x.isdecimal() and x == str(int(x)))

  @contextmanager
  def _writing(self) -> Iterator[None]:
    """Where saves fail, a background one of the step before included."""
    try:
      yield
    except (ValueError, OSError, RuntimeError) as error:
      last = max((s for s in self._listed() if s != self._saved), default=0)
      where = f'step {last} is the last one' if last else 'there is none before'
      raise SaveError(
        f'checkpoint {self._saved} could not be written to {self._directory}: '
        f'{_reason(error)}; {where}'
      ) from error

  def _opened(self) -> ocp.CheckpointManager:
    """For writing, cleaned up."""
    latest = self.latest
    if jax.process_index() == 0:
      for step in self.steps:
        path = self._directory / str(step)
        if latest is None or step == latest or not integrity.fault(path):
          continue
        if step < latest:
          path.rmtree()
          continue
        aside = path.with_name(f'{step}.broken')
        if aside.exists():
          aside.rmtree()
        path.rename(aside)
    if jax.process_count() > 1:
      multihost_utils.sync_global_devices(f'{self._directory} is clean')
    kept: list = [preserve.LatestN(n=self._keep)]
    if self._best:
      kept.append(preserve.BestN(get_metric_fn=self._figure, n=1))
    options = ocp.CheckpointManagerOptions(
      preservation_policy=preserve.AnyPreservationPolicy(kept),
      best_fn=self._figure if self._best else None,
      create=True,
      cleanup_tmp_directories=True,
    )
    handlers = {
      'state': ocp.StandardCheckpointHandler(),
      'notes': ocp.JsonCheckpointHandler(),
      integrity.ITEM: integrity.DigestsHandler(),
    }
    return ocp.CheckpointManager(
      self._directory, options=options, item_handlers=handlers
    )

  def _whole(self, step) -> epath.Path:
    """The folder of a step that has nothing wrong."""
    folder = self._directory / str(step)
    if not folder.is_dir():
      raise ValueError(f'{folder} is no checkpoint: there are {self.steps}')
    if wrong := integrity.fault(folder):
      raise ValueError(
        f'checkpoint {folder} is broken: {wrong}. Delete that folder; there '
        f'are {self.steps}'
      )
    if not integrity.has_digests(folder):
      _log.warning('%s is of an older version: it has no digests', folder)
    return folder

  def _arrays(self, step) -> dict[str, Any]:
    """What is known of the arrays, by name."""
    folder = self._whole(step) / 'state'
    try:
      return dict(ocp.PyTreeCheckpointHandler().metadata(folder).tree)
    except (ValueError, OSError, KeyError, TypeError) as error:
      raise ValueError(f'{folder}: {_reason(error)}: delete it') from error

  def _check_names(self, step, wanted, partial):
    shape = lambda x: tuple(x.shape)
    have = {
      name: shape(x)
      for name, x in self._arrays(step).items()
      if name in wanted or not partial
    }
    want = {name: shape(x) for name, x in wanted.items()}
    if have != want:
      wrong = sorted(
        n for n in have.keys() | want.keys() if have.get(n) != want.get(n)
      )
      lines = [
        f'  {n}: saved {have.get(n)}, expected {want.get(n)}' for n in wrong[:8]
      ]
      raise ValueError(
        f'checkpoint {step} does not fit this configuration '
        f'({len(wrong)} arrays differ):\n' + '\n'.join(lines) + '\n'
        'Resume with the configuration it was written with, or choose another '
        '--workdir.'
      )


def _reason(error: Exception) -> str:
  """What the operating system said, which TensorStore hides in a dump."""
  known = errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG
  known += errno.EIO, errno.EMFILE, errno.ENOENT
  said = (os.strerror(number) for number in known)
  return next(
    (x for x in said if x in str(error)), str(error).partition('\n')[0]
  )


def _not_raised(record: logging.LogRecord) -> bool:
  """Not what Orbax both logs, with its traceback, and raises."""
  return not (record.exc_info and 'orbax' in record.pathname)
