"""Recovery from an update that is not finite: `config.nonfinite`.

'stop' ends the run; 'skip' omits the update, at most `limit` in a row;
'rollback' restores the last checkpoint and continues with the next data, at
most `limit` times.
"""

from collections.abc import Sequence
from typing import Any, Literal

from hybrid_latent import cluster


class NonFinite(cluster.TrainingStopped, FloatingPointError):
  """An update that is not finite."""


def in_a_row(skipped: Sequence[bool], before: int) -> list[int]:
  """The number of consecutive skipped updates up to each update of a step,
  after `before` of them."""
  counts = []
  for is_skipped in skipped:
    before = (before + 1) * is_skipped
    counts.append(before)
  return counts


def decide(
  action: str, limit: int, broken: bool, most: int, rollbacks: int
) -> Literal['skip', 'rollback', 'stop']:
  """The action on a step with at `most` so many skipped updates in a row, after
  so many rollbacks. `broken` arrays cannot be skipped: they hold the update
  already."""
  if action == 'skip' and not broken and most <= limit:
    return 'skip'
  if action == 'rollback' and rollbacks < limit:
    return 'rollback'
  return 'stop'


def described(
  step: int,
  updates: Sequence[dict[str, Any]],
  skipped: Sequence[bool],
  broken: Sequence[str],
  prompts: Sequence[int],
  split: str,
) -> str:
  """The step, the loss and norm of its first update that is not finite, its
  prompts and the names of the arrays that it broke."""
  first = updates[skipped.index(True) if any(skipped) else -1]
  text = f'step {step}: loss {first["loss"]}, grad_norm {first["grad_norm"]}'
  if prompts:
    text += f' on prompts {prompts} of {split!r}'
  if broken:
    text += f', after which {first_few(broken)} are not finite'
  return text


def first_few(names: Sequence[str]) -> str:
  """The first three names, and the number of the others."""
  more = f' and {len(names) - 3} more' if len(names) > 3 else ''
  return ', '.join(names[:3]) + more
