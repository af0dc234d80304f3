"""Saving and resuming a run with Orbax: arrays by name, the rest as JSON."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers as preserve

from hybrid_latent.trees import map_named, named_leaves
from hybrid_latent.types import PyTree


class Checkpoints:
  """The checkpoints of one run: the last `keep` of them, and the one that was
  saved with the highest metric `best`. Writing goes on in the background; a
  checkpoint appears under its final name only when it is complete."""

  def __init__(self, directory: str, *, keep: int = 2, best: str = ''):
    figure = lambda metrics: metrics.get(best, -math.inf)
    kept: list = [preserve.LatestN(n=keep)]
    if best:
      kept.append(preserve.BestN(get_metric_fn=figure, n=1))
    options = ocp.CheckpointManagerOptions(
      preservation_policy=preserve.AnyPreservationPolicy(kept),
      best_fn=figure if best else None,
      create=True,
    )
    # Named here, so that a new process can read what it has not written.
    handlers = {
      'state': ocp.StandardCheckpointHandler(),
      'notes': ocp.JsonCheckpointHandler(),
    }
    self._manager = ocp.CheckpointManager(
      epath.Path(directory).resolve(), options=options, item_handlers=handlers
    )

  @property
  def latest(self) -> int | None:
    """The newest complete step."""
    return self._manager.latest_step()

  @property
  def best(self) -> int | None:
    """The step of the highest metric."""
    return self._manager.best_step()

  @property
  def steps(self) -> list[int]:
    """All steps that are kept."""
    return sorted(self._manager.all_steps())

  def save(
    self,
    step: int,
    state: PyTree,
    notes: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
  ) -> None:
    """`state`: a tree of arrays; `notes`: whatever JSON can hold."""
    self._manager.save(
      step,
      metrics=dict(metrics or {}),
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(named_leaves(state)),
        notes=ocp.args.JsonSave(dict(notes)),
      ),
    )

  def notes(self, step: int) -> dict[str, Any]:
    """The JSON half of a checkpoint."""
    item = ocp.args.Composite(notes=ocp.args.JsonRestore())
    return self._manager.restore(step, args=item)['notes']

  def names(self, step: int) -> list[str]:
    """What the arrays of a checkpoint are called."""
    return list(self._manager.item_metadata(step)['state'])

  def restore(self, step: int, like: PyTree, partial: bool = False) -> PyTree:
    """The arrays, with the structure, shapes and shardings of `like`; where it
    is `partial`, the checkpoint may hold more, which is not read."""
    wanted = {
      name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
      for name, x in named_leaves(like).items()
    }
    self._check_names(step, wanted, partial)
    if partial:
      with ocp.PyTreeCheckpointer() as reader:
        found = reader.restore(
          self._manager.directory / str(step) / 'state',
          ocp.args.PyTreeRestore(
            wanted,
            ocp.checkpoint_utils.construct_restore_args(wanted),
            partial_restore=True,
          ),
        )
    else:
      item = ocp.args.Composite(state=ocp.args.StandardRestore(wanted))
      found = self._manager.restore(step, args=item)['state']
    return map_named(lambda name, _: found[name], like)

  def _check_names(self, step, wanted, partial):
    saved = self._manager.item_metadata(step)['state']
    shape = lambda x: tuple(x.shape)
    have = {
      name: shape(x)
      for name, x in saved.items()
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

  def wait(self) -> None:
    """Until everything that was saved is written."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for what is still being written."""
    self.wait()
    self._manager.close()
