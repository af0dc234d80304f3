"""Rollouts on disk: a run writes them, another is trained on them without
sampling."""

from collections.abc import Iterator
from pathlib import Path

from experiments.sampler import Rolled
from hybrid_latent import sharding
from hybrid_latent.formats import rollouts
from hybrid_latent.types import Prompt, Trajectory


def dump(folder: str | Path, step: int, host: int, rolled: Rolled) -> None:
  """Writes what `stored` reads."""
  prompt, trajectory = sharding.to_host((rolled.prompt, rolled.trajectory))
  path = Path(folder) / f'{step:06d}-{host}.safetensors'
  notes = {'step': step, 'rows': list(rolled.rows)}
  rollouts.write(path, prompt, trajectory, notes)


def stored(
  folder: str | Path, host: int, start: int
) -> Iterator[tuple[Prompt, Trajectory, list[dict]]]:
  """The batches that `dump` wrote, from number `start` on, for ever."""
  files = sorted(Path(folder).glob(f'*-{host}.safetensors'))
  if not files:
    raise FileNotFoundError(
      f'config.rollout.source: {folder} has no *-{host}.safetensors: a run '
      'with config.dump_every=1 writes them to WORKDIR/rollouts'
    )
  while True:
    file = files[start % len(files)]
    prompt, trajectory, notes = rollouts.read(file)
    rows = notes.get('rows')
    if not isinstance(rows, list) or len(rows) != len(prompt.tokens):
      raise ValueError(
        f'{file}: notes: rows = {rows!r:.80}: accepted is a list with a row '
        f'per prompt, {len(prompt.tokens)} of them'
      )
    yield prompt, trajectory, rows
    start += 1
