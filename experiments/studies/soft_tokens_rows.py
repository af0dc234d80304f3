"""The rows of soft_tokens.py: checkpoints, and models in inference modes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .study import Row, select

Values = Float[np.ndarray, 's u']  # by seed and problem


def best(rows: Sequence[Row], arm: str | tuple[str, ...]) -> list[Row]:
  """Of each seed of an arm, or of several, the checkpoint with the highest
  greedy accuracy in validation; its row of the task of RL."""
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
  """The greedy accuracy on the last quarter of the problems."""
  greedy = row['greedy']
  return float(np.mean(greedy[-(len(greedy) // 4) :]))


def tested(rows: Sequence[Row], name: str) -> Values:
  """A column on the other problems."""
  columns = [row[name][: -(len(row[name]) // 4)] for row in rows]
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


def cell(
  rows: Sequence[Row], model: str, mode: str, control: str = ''
) -> list[Row]:
  """The rows of a model in an inference mode."""
  named = [
    row | {'inference': row['evaluated'].split('/')[1]}
    for row in rows
    if 'evaluated' in row
  ]
  return select(named, arm=model, inference=mode, control=control)
