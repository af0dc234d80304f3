"""The table and the figures of the study of LRT."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..configs.running_sums import BUDGETS
from ..report.charts import Chart, Points
from ..report.figures import write_figures
from .lrt_arms import LATENTS
from .lrt_verdicts import COUNTS, WORDS, accuracy, is_run, of_arm
from .outcomes import grades, pass_at_k, range_of_seeds
from .study import Row, select


def table(rows: Sequence[Row]) -> list[dict]:
  """Accuracy, pass@4 and tokens by arm, latents, budget and control."""
  keys = dict.fromkeys(
    (row['arm'], row['latents'], row['budget'], row['control'])
    for row in rows
    if 'correct' in row
  )
  lines = []
  for arm, latents, budget, control in keys:
    found = select(
      rows, arm=arm, latents=latents, budget=budget, control=control
    )
    several = found[0]['samples'] >= 4
    mean = lambda name, found=found: np.mean([row[name] for row in found])
    lines.append(
      {
        'arm': arm,
        'latents': latents or '',
        'control': control.replace('_', ' '),
        'budget': budget,
        'accuracy': accuracy(found),
        'pass@4': f'{pass_at_k(found, 4).mean():.3f}' if several else '',
        'tokens': f'{mean("tokens"):.1f}',
        'worked': f'{mean("worked"):.2f}',
        'seeds': len(found),
      }
    )
  return lines


def figure(rows: Sequence[Row], folder: Path) -> None:
  """Accuracy by tokens, and by number of latents; bands are the range of the
  seeds."""
  own = of_arm(rows, 'SFT+RL')
  at_budgets = {
    f'{LATENTS} latents': _flat(own, BUDGETS),
    'NoThinking': _flat(of_arm(rows, 'NoThinking'), BUDGETS),
  }
  for arm in WORDS[1:]:
    run = [x for x in BUDGETS if is_run(rows, arm=arm, budget=x)]
    at_budgets[arm] = _points(run, [of_arm(rows, arm, budget=x) for x in run])
  other = of_arm(rows, 'SFT+RL', control='other_problem')
  at_budgets['latents of another problem'] = _flat(other, BUDGETS)
  run = [x for x in COUNTS if is_run(rows, arm='SFT', latents=x)]
  by_count = {
    name: _points(
      run, [of_arm(rows, 'SFT', latents=x, control=control) for x in run]
    )
    for name, control in (
      ('SFT', ''),
      ('latents of another problem', 'other_problem'),
    )
  }
  note = 'mean and range of the seeds'
  write_figures(
    folder,
    [
      Chart('lrt', 'Accuracy at equal budgets', note, at_budgets, 'line',
            'tokens that a completion may have'),
      Chart('lrt_latents', 'Accuracy by latents', note, by_count, 'line',
            'latents', log2=True),
    ],
  )  # fmt: skip


def _points(x: Sequence[int], arms: Sequence[list[Row]]) -> Points:
  return range_of_seeds(x, [grades(rows).mean(1) for rows in arms])


def _flat(rows: list[Row], x: Sequence[int]) -> Points:
  """That of completions that end before the lowest budget."""
  return _points(x, [rows] * len(x))
