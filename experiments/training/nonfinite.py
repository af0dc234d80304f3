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


class Updates:
  """Those of a step: whether parameters or optimizer state are `broken` after
  them, which were `skipped`, and how many `in_a_row` up to each of them."""

  def __init__(self, broken: bool, skipped: Sequence[bool], before: int):
    self.broken, self.skipped = broken, skipped
    self.in_a_row: list[int] = []
    for left_out in skipped:
      before = (before + 1) * left_out
      self.in_a_row.append(before)


def decide(
  updates: Updates, action: str, limit: int, rollbacks: int
) -> Literal['skip', 'rollback', 'stop']:
  """What becomes of them, after so many rollbacks. Broken arrays cannot be
  skipped: the update that broke them has been made."""
  if action == 'skip' and not updates.broken:
    return 'skip' if max(updates.in_a_row) <= limit else 'stop'
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
