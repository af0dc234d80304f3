"""What the rows of soft_tokens.py say about the claims of Soft Tokens."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..report.charts import Chart, Points
from ..report.figures import write_figures
from .outcomes import (
  Difference,
  difference,
  estimate,
  grades,
  pass_at_k,
  shown,
)
from .study import MissingRowsError, Row, Verdict, select

Values = Float[np.ndarray, 's u']  # by seed and problem
MARGIN = 0.03  # of equal accuracies
LARGEST = 1.25  # of a minimal overhead
KS = 1, 2, 4, 8, 16, 32
MODELS = 'base', 'hard', 'soft', 'fuzzy'
MODES = [' '.join(x) for x in product(('hard', 'soft', 'fuzzy'),
                                      ('greedy', 'sample'))]  # fmt: skip


def best(rows: Sequence[Row], arm: str) -> list[Row]:
  """Of each seed of an arm the checkpoint with the highest greedy accuracy in
  validation; its row of the task of RL."""
  found = {}
  for row in select(rows, arm=arm, dataset='in'):
    kept = found.get(row['seed'])
    if kept is None or _validated(row) > _validated(kept):
      found[row['seed']] = row
  return [*found.values()]


def early(rows: Sequence[Row], others: Sequence[Row]) -> list[Row]:
  """Of each seed of `others` the checkpoint of hard training, or the base,
  whose greedy accuracy is nearest."""
  return [
    min(
      select(rows, arm=('base', 'hard'), dataset='in', seed=row['seed']),
      key=lambda x, row=row: abs(_validated(x) - _validated(row)),
    )
    for row in others
  ]


def _validated(row: Row) -> float:
  greedy = row['greedy']
  return float(np.mean(greedy[: len(greedy) // 4]))


def tested(rows: Sequence[Row], name: str) -> Values:
  """A column on the problems that do not choose a checkpoint."""
  columns = [row[name][len(row[name]) // 4 :] for row in rows]
  return np.array(columns, float)


def passed(rows: Sequence[Row], k: int) -> Values:
  """pass@k of hard thinking: at least one of k samples is right."""
  return 1 - (1 - tested(rows, 'probability')) ** k


def outside(rows: Sequence[Row], chosen: Sequence[Row], name: str) -> Values:
  """A column of the task outside RL, under the chosen checkpoints."""
  found = [
    select(rows, **{x: row[x] for x in ('arm', 'seed', 'step')}, dataset='out')
    for row in chosen
  ]
  return np.array([row[name] for (row,) in found], float)


def _pair(rows: Sequence[Row], arm: str = 'soft') -> tuple[list[Row], ...]:
  """The best checkpoints of an arm and of hard training, and those of hard
  training that are as accurate as those of the arm; of seeds that both have."""
  mine, hard = best(rows, arm), best(rows, 'hard')
  seeds = {row['seed'] for row in mine} & {row['seed'] for row in hard}
  mine, hard = (
    [row for row in some if row['seed'] in seeds] for some in (mine, hard)
  )
  if not seeds:
    raise MissingRowsError('no seed has both arms')
  return mine, hard, early(rows, mine)


def _decided(is_shown: bool, is_refuted: bool) -> str:
  if is_shown:
    return 'shown'
  return 'refuted' if is_refuted else 'out of reach here'


def _counted(d: Difference) -> str:
  return f'{d.seeds} seeds, {d.problems} problems'


def pass_at_1_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 7."""
  soft, hard, _ = _pair(rows)
  base = select(rows, arm='base', dataset='in')
  greedy = lambda some: tested(some, 'greedy')
  d = difference(greedy(soft), greedy(hard))
  sampled = difference(passed(soft, 1), passed(hard, 1))
  fuzzy, *_ = _pair(rows, 'fuzzy')
  control = select(rows, arm='hard, shuffled', dataset='in')[-1:]
  return Verdict(
    f'greedy {shown(estimate(greedy(soft)))} against hard '
    f'{shown(estimate(greedy(hard)))} (base '
    f'{shown(estimate(greedy(base)))}): {shown(d, signed=True)}; sampled '
    f'{shown(sampled, signed=True)}; {_counted(d)}',
    f'rewards of other problems {greedy(control).mean():.3f}; fuzzy '
    f'{greedy(fuzzy).mean():.3f}',
    _decided(d.low >= -MARGIN, d.high < -MARGIN),
  )
