"""What becomes of an update that is not finite: `config.nonfinite`.

'stop' ends the run; 'skip' leaves the update out, at most `limit` in a row;
'rollback' restores the last checkpoint and goes on with the next data, `limit`
times.
"""

from collections.abc import Sequence
from typing import Any, Literal

from hybrid_latent import cluster


class NonFinite(cluster.TrainingStopped, FloatingPointError):
  """An update that is not finite."""


def in_a_row(skipped: Sequence[bool], before: int) -> list[int]:
  """How many updates up to each one of a step were skipped, where so many were
  `before` it."""
  counts = []
  for left_out in skipped:
    before = (before + 1) * left_out
    counts.append(before)
  return counts


def decide(
  action: str, limit: int, broken: bool, most: int, rollbacks: int
) -> Literal['skip', 'rollback', 'stop']:
  """What becomes of a step, at `most` so many skipped updates in a row and
  after so many rollbacks. `broken` arrays cannot be skipped: the update that
  broke them has been made."""
  if action == 'skip' and not broken and most <= limit:
    return 'skip'
  if action == 'rollback' and rollbacks < limit:
    return 'rollback'
  return 'stop'


def described(
  step: int,
  every: Sequence[dict[str, Any]],
  skipped: Sequence[bool],
  broken: Sequence[str],
  prompts: Sequence[int],
  split: str,
) -> str:
  """The step, the loss and norm of its first update that is not finite, its
  prompts and the names of the arrays that it broke."""
  first = every[skipped.index(True) if any(skipped) else -1]
  text = f'step {step}: loss {first["loss"]}, grad_norm {first["grad_norm"]}'
  if prompts:
    text += f' on prompts {prompts} of {split!r}'
  if broken:
    text += f', after which {first_few(broken)} are not finite'
  return text


def first_few(names: Sequence[str]) -> str:
  """The first few of many."""
  more = f' and {len(names) - 3} more' if len(names) > 3 else ''
  return ', '.join(names[:3]) + more
