"""The rows of the study of HyRea, by arm, and what is said of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .hyrea_arms import EARLY, UPDATES
from .outcomes import Difference, difference, estimate, grades, shown
from .study import MissingRowsError, Row, common, select

MARGIN = 0.02  # of accuracy


def rows_of(rows: Sequence[Row], arm: str, **values: Any) -> list[Row]:
  """The rows of an arm by seed, greedy, without control and of the narrow model
  by default."""
  usual: dict[str, Any] = dict(control='', sampling='greedy', width=None)
  if arm not in ('base', 'soft_thinking'):
    usual |= dict(updates=UPDATES, weight=4.0, c=1)
  if arm.startswith('grpo') or arm == 'switch':
    usual['updates'] = EARLY
  return select(rows, arm=arm, **usual | values)


def compared(a: Sequence[Row], b: Sequence[Row]) -> Difference:
  """a - b on the seeds that both have."""
  return difference(*map(grades, common(a, b)))


def accuracy(rows: Sequence[Row]) -> str:
  """Its mean and interval, as text."""
  return shown(estimate(grades(rows)))


def mean(rows: Sequence[Row], name: str) -> float:
  """The mean of a number of the rows."""
  return float(np.mean([row[name] for row in rows]))


def counted(rows: Sequence[Row]) -> str:
  """How many seeds and problems there are, as text."""
  return f'{len(rows)} seeds, {rows[0]["problems"]} problems'


def also(rows: Sequence[Row], text: str, arm: str, **values: Any) -> str:
  """'; TEXT accuracy with N tokens' of a control, '' where it was not run."""
  try:
    found = rows_of(rows, arm, **values)
    return f'; {text} {accuracy(found)} with {mean(found, "tokens"):.1f} tokens'
  except MissingRowsError:
    return ''


def judged(gap: Difference, why: str, enough: float = 0.0) -> dict[str, Any]:
  """The verdict on a difference that should exceed `enough`, and `why` not. It
  is open below three seeds: learning four spans depends on the seed."""
  if gap.seeds < 3:
    return dict(
      verdict='out of reach here',
      why=f'{gap.seeds} of at least three seeds have run',
    )
  if gap.low > enough:
    return dict(verdict='shown')
  if gap.high < enough + MARGIN:
    return dict(verdict='refuted', why=why)
  return dict(
    verdict='out of reach here',
    why=f'the interval allows either; with {gap.seeds} seeds it has the width '
    f'{gap.high - gap.low:.2f}, and it would take more',
  )
