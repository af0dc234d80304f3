"""Rollouts on disk: a run writes them, another one trains on them instead of
sampling."""

from pathlib import Path
from typing import Any

from hybrid_latent import sharding
from hybrid_latent.formats import rollouts
from hybrid_latent.types import Prompt, Trajectory

from .sampler import RolloutBatch


def dump(folder: str | Path, step: int, host: int, batch: RolloutBatch) -> None:
  """Writes the rollout of a step, for `StoredBatches`."""
  prompt, trajectory = sharding.to_host((batch.prompt, batch.trajectory))
  path = Path(folder) / f'{step:06d}-{host}.safetensors'
  notes = {'step': step, 'rows': list(batch.rows)}
  rollouts.write(path, prompt, trajectory, notes)


class StoredBatches:
  """The batches that `dump` wrote, from number `start` on, cycling."""

  def __init__(self, folder: str | Path, host: int, start: int):
    self._files = sorted(Path(folder).glob(f'*-{host}.safetensors'))
    self._next = start
    if not self._files:
      raise FileNotFoundError(
        f'config.rollout.rollout_dir: {folder} has no *-{host}.safetensors: '
        'write the WORKDIR/rollouts of a run with config.dump_every=1'
      )

  def __next__(self) -> tuple[Prompt, Trajectory, list[dict]]:
    path = self._files[self._next % len(self._files)]
    self._next += 1
    prompt, trajectory, notes = rollouts.read(path)
    rows: Any = notes.get('rows')
    whole = isinstance(rows, list) and len(rows) == len(prompt.tokens)
    if not whole or not all(isinstance(row, dict) for row in rows):
      raise ValueError(
        f'{path}: notes: rows = {rows!r:.80}: accepted is a list of '
        f'{len(prompt.tokens)} objects, one per prompt'
      )
    return prompt, trajectory, rows

  def get_state(self) -> int:
    """The number of the next batch."""
    return self._next

  def set_state(self, number: int) -> None:
    """Continues with the batch of this number."""
    self._next = number
