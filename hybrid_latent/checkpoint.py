"""Saving and resuming a run with Orbax: arrays by name, the rest as JSON."""

from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from hybrid_latent.trees import map_named, named_leaves
from hybrid_latent.types import PyTree


class Checkpoints:
  """The checkpoints of one run. Writing goes on in the background; a
  checkpoint appears under its final name only when it is complete."""

  def __init__(self, directory: str, *, keep: int = 2):
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
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

  def save(self, step: int, state: PyTree, notes: Mapping[str, Any]) -> None:
    """`state`: a tree of arrays; `notes`: whatever JSON can hold."""
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(named_leaves(state)),
        notes=ocp.args.JsonSave(dict(notes)),
      ),
    )

  def notes(self, step: int) -> dict[str, Any]:
    """The JSON half of a checkpoint."""
    item = ocp.args.Composite(notes=ocp.args.JsonRestore())
    return self._manager.restore(step, args=item)['notes']

  def restore(self, step: int, like: PyTree) -> PyTree:
    """The arrays, with the structure, shapes and shardings of `like`."""
    wanted = {
      name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
      for name, x in named_leaves(like).items()
    }
    self._check_names(step, wanted)
    item = ocp.args.Composite(state=ocp.args.StandardRestore(wanted))
    found = self._manager.restore(step, args=item)['state']
    return map_named(lambda name, _: found[name], like)

  def _check_names(self, step, wanted):
    saved = self._manager.item_metadata(step)['state']
    shape = lambda x: tuple(x.shape)
    have = {name: shape(x) for name, x in saved.items()}
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

  def close(self) -> None:
    """Waits for what is still being written."""
    self._manager.wait_until_finished()
    self._manager.close()
