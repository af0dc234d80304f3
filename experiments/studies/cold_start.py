r"""HyRea from nothing to reinforcement: how many latents, and for which steps.

    python -m experiments.studies.cold_start [--workdir=runs/cold_start] \
        [--slots=1,2,4,8] [--seeds=1]

On arithmetic word problems. A new model learns to show its work in words, and
the entropy of each step is measured. Then, for every number of latents c and
for steps chosen by entropy or at random, the cold start puts latents in their
place, and GRPO goes on from its model; the baseline takes the same two stages
in words. Ends with a table of what the test problems say after each of them.
The same command goes on after a stop.
"""

from hybrid_latent.ranges import PositiveInt

from ..fields.accepted import Folder
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('studies.cold_start', __doc__)
  add = parser.add_argument
  add('--workdir', default='runs/cold_start', type=cli.value(Folder))
  add(
    '--slots',
    default='1,2,4,8',
    type=cli.value(tuple[PositiveInt, ...]),
    help='latents per step that is replaced',
  )
  add('--seeds', type=cli.value(PositiveInt), default=1)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from hybrid_latent.data import arithmetic

from .. import PACKAGE, grpo, sft, step_entropy
from ..configs import rl_arithmetic, sft_arithmetic
from ..new_model import new_model
from ..report.tables import markdown_table, read_rows, write_atomic
from ..training.cli import Config
from ..training.compilation_cache import keep_compiled

FIGURES = {
  'accuracy': 'eval/accuracy',
  'tokens': 'eval/completions/mean_length',
  'switches': 'eval/switches',
}
MAX_TOKENS = 48  # some spans of eight latents, and what is said beside them
BEGIN = (0, 40)  # of no step and of one in latents


class Cell(NamedTuple):
  """A cold start and the reinforcement after it."""

  steps: str  # which steps become latents: a method of sft_arithmetic.py
  slots: int  # c
  speaks: str  # a method of rl_arithmetic.py


@cli.report_errors()
def main() -> None:
  """The experiment."""
  flags = _parser().parse_args()
  logging.set_verbosity(logging.WARNING)
  workdir = Path(flags.workdir)
  keep_compiled()
  start, words, steps = (workdir / name for name in ('start', 'words', 'steps'))
  if not start.exists():
    new_model(start, arithmetic.tokenizer())
  worked = sft_arithmetic.get_config(f'{start},cot')
  worked.steps = 300
  figures(sft.train, worked, words)
  scored = sft_arithmetic.get_config(f'{words}/model,hyrea')
  step_entropy.annotate(scored, str(steps))
  table = []
  for cell in cells(flags.slots):
    seeds = [line(cell, seed, workdir, steps) for seed in range(flags.seeds)]
    named = {'steps replaced': cell.steps, 'c': cell.slots}
    means = {
      name: float(np.mean([each[name] for each in seeds])) for name in seeds[0]
    }
    table.append(named | means)
    write_atomic(workdir / 'table.md', markdown_table(table))
  runs = shlex.quote(str(workdir))
  print(
    f'\n{markdown_table(table)}\n\nwrote {workdir}/table.md; all runs on a page:\n'
    f'  python -m {PACKAGE}.report --runs={runs} --out={runs}/report.html'
  )


def cells(slots: list[int]) -> Iterator[Cell]:
  """The baseline, then each c by entropy and at random."""
  yield Cell('cot', 0, 'grpo')
  for c in slots:
    for steps in 'hyrea', 'random':
      yield Cell(steps, c, 'hyrea')


def line(cell: Cell, seed: int, workdir: Path, steps: Path) -> dict[str, float]:
  """What it says after either stage."""
  name = f'{cell.steps}-{cell.slots}-{seed}'
  cold: Config = sft_arithmetic.get_config(
    f'{workdir}/words/model,{cell.steps}'
  )
  with cold.unlocked():
    cold.seed, cold.steps, cold.batch = seed, 160, 12
    cold.rollout.max_tokens = MAX_TOKENS
    cold.optimizer.groups.model.lr = 1e-3
    if cell.slots:
      cold.stages.update(begin=BEGIN, share=(1.0,) * len(BEGIN))
      cold.curriculum.kwargs.slots = cell.slots
    if cell.steps == 'hyrea':
      cold.data.scored = str(steps)
  before = figures(sft.train, cold, workdir / f'{name}-cold')
  model = workdir / f'{name}-cold' / 'model'
  config: Config = rl_arithmetic.get_config(f'{model},{cell.speaks}')
  with config.unlocked():
    config.seed = seed
    config.rollout.max_tokens = MAX_TOKENS
    if cell.slots:
      config.feedback.initial.slots = cell.slots
  after = figures(grpo.train, config, workdir / f'{name}-rl')
  named = {'cold start': before, 'RL': after}
  return {
    f'{figure}, {stage}': values[figure]
    for figure in FIGURES
    for stage, values in named.items()
  }


def figures(
  train: Callable[[Config, str], Any], config: Config, workdir: Path
) -> dict[str, float]:
  """The evaluation after the last step of a run, which is made if it is not
  there."""

  def last():
    rows = read_rows(workdir, 'metrics') if workdir.exists() else []
    return [row for row in rows if row['step'] == config.steps]

  if not last():
    print(workdir.name, flush=True)
    train(config, str(workdir))
  return {name: last()[-1][metric] for name, metric in FIGURES.items()}


if __name__ == '__main__':
  main()
