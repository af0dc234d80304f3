"""Results of an arm on a data set, in shards.

A shard has the rows of one batch, after a line with their number, the number of
shards and so on.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from etils import epath

from ..training.dataset_sampling import OTHER_FIELDS
from ..training.resumable_shards import config_fields
from .arms import PROMPT, Arm
from .datasets import Dataset

# The fields in which the configs of arms differ.
_OF_ARM = ('feedback.', 'rollout.', 'eval.sampling.',
           *(f'data.{name}.' for name in PROMPT))  # fmt: skip


class Cell(NamedTuple):
  """An arm on a data set."""

  arm: Arm
  dataset: Dataset
  folder: epath.Path  # of its shards

  @property
  def header(self) -> dict[str, Any] | None:
    """The first line of its first shard; None without one."""
    return next(self.headers(), None)

  def shard(self, number: int) -> epath.Path:
    """The file of a shard."""
    return self.folder / f'{number:05d}.jsonl'

  def headers(self) -> Iterator[dict[str, Any]]:
    """The first line of each shard that exists, up to the first that does
    not."""
    for lines in self._shards():
      yield json.loads(next(lines))

  def lines(self) -> Iterator[str]:
    """The rows of all shards."""
    for lines in self._shards():
      next(lines)
      yield from lines

  def is_complete(self) -> bool:
    """Whether all shards exist."""
    count = (self.header or {}).get('shards', 1)
    return all(self.shard(i).exists() for i in range(count))

  def remove_damaged(self) -> None:
    """Removes the shards that a full disk has cut, so that they are written
    again."""
    for path in self.folder.glob('*.jsonl'):
      text = path.read_bytes()
      if not text.endswith(b'\n'):
        print(f'{path} is cut: it is written again', flush=True)
        path.unlink()

  def times(self) -> dict[str, Any]:
    """Its row of `record.Times`."""
    headers, samples = [*self.headers()], self.arm.samples
    sums = {
      name: sum(x[name] for x in headers)
      for name in ('prompts', 'tokens', 'seconds')
    }
    peaks = [x for h in headers if (x := h['peak_memory_bytes']) is not None]
    seconds = sums['seconds']
    once = 'too_long', 'latents', 'cosine', 'latent_direction'
    return {
      **{'arm': self.arm.name, 'dataset': self.dataset.name},
      **{'prompts': sums['prompts'], 'completions': sums['prompts'] * samples},
      **{'tokens': sums['tokens'], 'seconds': seconds},
      'seconds_per_question': seconds / sums['prompts'],
      'tokens_per_second': sums['tokens'] / seconds,
      'peak_memory_bytes': max(peaks, default=None),
      **{name: x for name, x in headers[0].items() if name in once},
    }

  def _shards(self) -> Iterator[Iterator[str]]:
    number = 0
    while (path := self.shard(number)).exists():
      with path.open(encoding='utf-8') as file:
        yield iter(file)
      number += 1


def cell_of(arm: Arm, dataset: Dataset, workdir: epath.Path) -> Cell:
  """The cell, in a folder that is named after what its rows depend on beside
  the settings that all arms share."""
  same = (
    *OTHER_FIELDS,
    *(('rollout.max_completion_length',) * bool(arm.budget)),
  )
  settings = {
    name: value
    for name, value in config_fields(arm.config).items()
    if f'{name}.'.startswith(_OF_ARM) and not f'{name}.'.startswith(same)
  }
  identity = (
    *(arm.source, arm.mode, arm.control, arm.budget, arm.prompts_per_batch),
    *(sorted(settings.items()), dataset.digest),
  )
  digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
  name = re.sub(r'[^\w.+-]+', '_', f'{arm.name}-{dataset.name}')[:80]
  return Cell(arm, dataset, workdir / 'parts' / f'{name}-{digest}')
