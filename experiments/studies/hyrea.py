r"""HyRea on turns of a dial: which steps latents can replace, and the price.

    python -m experiments.studies.hyrea [--workdir=runs/hyrea] [--seeds=3] \
        [--part=I/N]

Claims 12 to 18 and 20 of the board. A model of two layers learns worked
solutions (hybrid_latent/data/dial.py), which have choices, work and checks. Its
first checkpoint with 70 % of the test problems right is the base, and gives the
entropies of the steps. From it each arm has 1,500 updates of 32 rows, with up
to four of six steps replaced, one more every 150 updates, each row a number
drawn from 0 to that of the stage:

  entropy, random  HyRea's cold start, steps of lowest entropy or random ones;
                   weight of the marks 4 or 1
  coconut          the first steps in latents before the solution
  pause, drop      the steps of `entropy` as pause tokens, or simply gone
  none             solutions in words
  first, last, highest  other steps

And `entropy` with 2, 4 and 8 latents per step; `grpo`, HyRea's second stage of
150 steps of 16 x 8 from 600 updates of `entropy`, against 150 and 900 more
updates; `switch`, the same with gradients through the latents, as SWITCH has;
`soft_thinking`, the base without training. `entropy`, `none` and `grpo` have
two more seeds. Some seeds do not learn four spans within these updates; all do
with twice the width, where `entropy`, `none`, `coconut` and `soft_thinking` are
run again.

All are evaluated on all 864 test problems, greedy and sampled, and what reads
latents also with those of another problem, with pause tokens, and without
spans. The criteria of the verdicts are in hyrea_verdicts.py.
"""

from .parser import cells_parser

if __name__ == '__main__':  # before the imports: --help takes a second
  cells_parser('hyrea', __doc__).parse_args()

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from ..report.charts import Chart, Points
from ..report.figures import write_picture
from .hyrea_arms import (
  EARLY,
  MODEL,
  UPDATES,
  WIDE,
  cold_start,
  rl,
  untrained,
  wide,
)
from .hyrea_rows import accuracy, mean, rows_of
from .hyrea_verdicts import FEW, VERDICTS
from .outcomes import grades
from .study import Cell, MissingRowsError, Row, Study, main


def cells(seeds: int) -> Iterator[Cell]:
  """What decides most claims comes first."""
  for seed in range(seeds):
    for arm in ('entropy', 'random'):
      yield _cell(arm, seed)
    yield Cell(f'grpo-seed{seed}', partial(rl, 'grpo', seed))
    for arm in ('pause', 'drop', 'none'):
      yield _cell(arm, seed)
    yield Cell(f'grpo_drop-seed{seed}', partial(rl, 'grpo_drop', seed))
    yield Cell(f'switch-seed{seed}', partial(rl, 'switch', seed))
    yield Cell(f'base-seed{seed}', partial(untrained, seed))
    yield _cell('entropy', seed, c=8)
  # Both depend on the seed more than all else: what RL adds, and whether four
  # spans are learnt within these updates.
  for seed in range(seeds, seeds + 2):
    yield _cell('entropy', seed)
    yield _cell('none', seed)
    yield Cell(f'grpo-seed{seed}', partial(rl, 'grpo', seed))
  for c in (2, 4):
    yield _cell('entropy', 0, c=c)
  for seed in range(seeds):
    for arm in ('entropy', 'random'):
      yield _cell(arm, seed, weight=1.0)
    yield _cell('coconut', seed)
  for seed in range(seeds):
    yield _wide(_cell('coconut', seed), seed)
    yield _wide(Cell(f'base-seed{seed}', partial(untrained, seed)), seed)
  for seed in range(seeds + 2):
    for arm in ('entropy', 'none'):
      yield _wide(_cell(arm, seed), seed)
  for arm in ('last', 'highest', 'first'):
    yield _cell(arm, 0)


def _wide(cell: Cell, seed: int) -> Cell:
  return Cell(f'wide-{cell.name}', partial(wide, cell.run, seed))


def _cell(arm: str, seed: int, c: int = 1, weight: float = 4.0) -> Cell:
  name = f'{arm}-c{c}-w{weight:g}-seed{seed}'
  return Cell(name, partial(cold_start, arm, seed, c, weight))


def table(rows: Sequence[Row]) -> list[dict]:
  """A row per arm, over seeds; controls in columns."""
  groups: dict[tuple, dict[str, list[Row]]] = defaultdict(
    lambda: defaultdict(list)
  )
  for row in rows:
    key = (
      *(row['arm'], row.get('width', MODEL.width)),
      *(row.get('c'), row.get('weight'), row['updates'], row['sampling']),
    )
    groups[key][row['control']].append(row)
  found = []
  for (arm, width, c, weight, updates, sampling), by_control in groups.items():
    own = by_control['']
    value = lambda name, by=by_control: (
      round(float(grades(by[name]).mean()), 3) if by[name] else None
    )
    found.append(
      {
        'arm': arm,
        'width': width,
        'c': c,
        'weight': weight,
        'updates': updates,
        'decoding': sampling,
        'seeds': len(own),
        'accuracy': accuracy(own),
        "another problem's": value('other_problem'),
        'pause': value('pause'),
        'dropped': value('dropped'),
        'tokens': round(mean(own, 'tokens'), 1),
        'with marks': round(mean(own, 'tokens_with_marks'), 1),
        'spans': round(mean(own, 'switches'), 2),
      }
    )
  return found


def figure(rows: Sequence[Row], folder: Path) -> None:
  """Accuracy over updates, and against tokens; with controls."""
  arms = {
    arm: (arm, {}) for arm in ('none', 'entropy', 'random', 'drop', 'pause')
  }
  arms[f'entropy, width {WIDE.width}'] = 'entropy', dict(width=WIDE.width)
  swapped = "entropy, another problem's latents"
  curves, fronts = {}, {}
  for name, (arm, size) in arms.items():
    curves[name] = fronts[name] = _NONE
    with suppress(MissingRowsError):
      curves[name] = _curve(rows_of(rows, arm, **size))
      fronts[name] = _front(
        rows_of(rows, arm, sampling='sample', weight=(1.0, 4.0), **size)
      )
  controls = rows_of(
    rows, 'entropy', control='other_problem', updates=(EARLY, UPDATES)
  )
  xs = sorted({row['updates'] for row in controls})
  at = lambda x: grades([row for row in controls if row['updates'] == x]).mean()
  curves[swapped] = Points(np.array(xs, float), np.array([at(x) for x in xs]))
  fronts[swapped] = Points(
    np.array([mean(controls, 'tokens')]), np.array([at(max(xs))])
  )
  charts = [
    Chart('hyrea-updates', 'Accuracy over updates', 'greedy', curves, 'line',
          'updates'),
    Chart('hyrea-tokens', 'Accuracy against tokens', 'sampled, by spans',
          fronts, 'line', 'tokens'),
  ]  # fmt: skip
  write_picture(folder / 'hyrea.png', charts)


_NONE = Points(np.zeros(0), np.zeros(0))


def _curve(rows: Sequence[Row]) -> Points:
  """The mean accuracy over seeds at the steps that all have."""
  curves = [{step: y for step, y, *_ in row['curve']} for row in rows]
  steps = sorted(set.intersection(*map(set, curves)))
  means = [np.mean([curve[step] for curve in curves]) for step in steps]
  return Points(np.array(steps, float), np.array(means))


def _front(rows: Sequence[Row]) -> Points:
  """Mean tokens and accuracy of completions with equal numbers of spans."""
  total: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3))
  for row in rows:
    for spans, counts in row['by_switches'].items():
      total[spans] += counts
  kept = [x for x in total.values() if x[0] >= FEW * len(rows)]
  kept.sort(key=lambda x: x[2] / x[0])
  return Points(
    np.array([x[2] / x[0] for x in kept]), np.array([x[1] / x[0] for x in kept])
  )


STUDY = Study(
  name='hyrea',
  about='HyRea on turns of a dial: which steps latents can replace.',
  core_minutes=120,
  cells=cells,
  verdicts=VERDICTS,
  table=table,
  figure=figure,
)

if __name__ == '__main__':
  main(STUDY, __doc__)
