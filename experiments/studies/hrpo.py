r"""HRPO against GRPO and PPO, and what makes its hidden ratio grow.

    python -m experiments.studies.hrpo [--workdir=runs/hrpo] [--part=0/2]

A new model learns arithmetic word problems by supervised fine-tuning, stopped
early; the arms of experiments.grpo start from it, with the same data, rates
(configs/rl_arithmetic.py), steps and completions. Half of the solutions of the
base `mixed` have their steps, so that RL can choose how long it thinks; all of
`worked` have, so that no answer avoids the thinking. Answers are 1 to 9, the
most frequent one is right for 0.16 of the test problems, and no equation of
these is one of training.

The claims of HRPO (arXiv 2505.18454), and the criterion of each verdict:

1. HRPO beats GRPO and PPO. Greedy accuracy, paired by seed and problem. Shown
   where the intervals of both differences are above 0; refuted where that to
   GRPO is below the paper's 0.009; else the seeds that it would take.
2. Hidden states as inputs collapse. Shown where `direct` ends below half of the
   accuracy of its base, refuted where above.
3. Interpolated inputs learn, then collapse, in the paper after some hundred
   steps. Shown where the reward rises to within 0.1 of GRPO's, then falls below
   half of its peak; refuted where it rises and, after 300 steps or more, is
   above 0.9 of the peak.
4. The hidden ratio grows in training. AdamW shrinks Lambda, which raises the
   ratio without learning. So four arms: weight decay 0.1 (the paper's) or none,
   rewards of the completions or of other problems (objectives/shuffled.py).
   Growth is the ratio in the last tenth of the steps less that in the first.
   Shown where HRPO's is above 0 and, over both decays, exceeds that with
   shuffled rewards. Refuted where it is below 0, or where the excess is below
   half of what the decay adds with shuffled rewards.
5. Completions become shorter than GRPO's. Mean length in the second half of the
   steps. Refuted where longer or within 2 %, shown where shorter.
6. A smaller r_min helps knowledge tasks, which are out of reach; here the ratio
   and the accuracy on arithmetic.

Intervals are 95 %, over seeds and problems. The controls have the latent part
of another problem, a constant one, or none; with the first seed.
"""

from .parser import cells_parser

if __name__ == '__main__':  # before the imports: --help takes a second
  cells_parser('hrpo', __doc__).parse_args()

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..report.charts import Chart
from ..report.figures import write_figures
from .hrpo_arms import cells
from .hrpo_verdicts import (
  BLOCK,
  DECAYS,
  SHUFFLED,
  beats_grpo,
  blocks,
  completions_shorten,
  curves_of,
  direct_collapses,
  final,
  interpolated_collapses,
  r_min_helps,
  ratio_grows,
)
from .outcomes import estimate, range_of_seeds, shown
from .study import MissingRowsError, Row, Study, main, select


def table(rows: Sequence[Row]) -> list[dict]:
  """A line per arm: accuracy, with controls, tokens and hidden ratio."""
  lines = []
  for arm in dict.fromkeys(row['arm'] for row in rows):
    own = select(rows, arm=arm, control='')
    line = {'arm': arm, 'seeds': len(own), 'accuracy': _accuracy(rows, arm, '')}
    for control in ('other_problem', 'pause', 'dropped'):
      line[control.replace('_', ' ')] = _accuracy(rows, arm, control)
    line['tokens'] = round(float(np.mean([row['tokens'] for row in own])), 2)
    try:
      ratio = curves_of(rows, arm, 'hidden_ratio')
      first, last = ratio[:, :BLOCK].mean(), ratio[:, -BLOCK:].mean()
      line['hidden ratio'] = f'{first:.3f} to {last:.3f}'
    except MissingRowsError:  # a base
      line['hidden ratio'] = '–'
    lines.append(line)
  return lines


def _accuracy(rows, arm, control) -> str:
  try:
    return shown(estimate(final(rows, arm, control)))
  except MissingRowsError:
    return '–'


def figure(rows: Sequence[Row], folder: Path) -> None:
  """The hidden ratio over training, decay x rewards; bands are the range of
  the seeds."""
  series = {}
  for name in (f'HRPO{x}{y}' for y in ('', SHUFFLED) for x in DECAYS):
    values = blocks(curves_of(rows, name, 'hidden_ratio'))
    steps = (np.arange(values.shape[1]) + 0.5) * BLOCK
    series[name] = range_of_seeds(steps, [*values.T])
  note = 'mean and range of the seeds'
  chart = Chart('hrpo', 'Hidden ratio', note, series, kind='line')
  write_figures(folder, [chart])


STUDY = Study(
  name='hrpo',
  about='Hidden ratio of HRPO in training: with and without weight decay, with '
  'rewards and with those of other problems.',
  core_minutes=45,
  cells=cells,
  verdicts={
    1: beats_grpo,
    2: direct_collapses,
    3: interpolated_collapses,
    4: ratio_grows,
    5: completions_shorten,
    6: r_min_helps,
  },
  table=table,
  figure=figure,
)


if __name__ == '__main__':
  main(STUDY, __doc__)
