r"""HyRea on arithmetic, from random weights to RL: number and place of latents.

    python -m experiments.studies.cold_start [--workdir=runs/cold_start] \
        [--num_latents=1,2,4,8] [--seeds=1]

A new model learns chains of thought by supervised fine-tuning, and the entropy
of each step is measured. Then, for each number of latents c and for steps
chosen by entropy or at random, the cold start replaces steps by latents, and
GRPO trains the model further; the baseline has the same two stages without
latents. Writes WORKDIR/table.md, the evaluations after each stage. The same
command resumes after a stop.
"""

from hybrid_latent.ranges import PositiveInt

from ..training import cli
from .parser import study_parser


def _parser() -> cli.Parser:
  parser = study_parser('cold_start', __doc__)
  parser.add_argument(
    '--num_latents',
    default='1,2,4,8',
    type=cli.value(tuple[PositiveInt, ...]),
    help='latents per replaced step',
  )
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from hybrid_latent.data import arithmetic

from .. import grpo, sft, step_entropy
from ..configs import rl_arithmetic, sft_arithmetic
from ..new_model import new_model
from ..report.tables import markdown_table, read_rows, write_atomic
from ..training.cli import Config
from ..training.compilation_cache import keep_compiled
from ..training.ending import report_command

METRICS = {  # of the table -> of an evaluation
  'accuracy': 'eval/accuracy',
  'tokens': 'eval/completions/mean_length',
  'switches': 'eval/switches',
}
MAX_TOKENS = 48  # room for several spans of eight latents and the text
STAGE_STARTS = (0, 40)  # of the stages with no latent step and with one


class Cell(NamedTuple):
  """A cold start and the RL after it."""

  cold_start: str  # a method of sft_arithmetic.py: which steps become latents
  num_latents: int  # c, per step
  rl: str  # a method of rl_arithmetic.py


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  logging.set_verbosity(logging.WARNING)
  workdir = Path(flags.workdir)
  keep_compiled()
  start, words, entropies = (
    workdir / name for name in ('start', 'words', 'steps')
  )
  if not start.exists():
    new_model(start, arithmetic.tokenizer())
  cot = sft_arithmetic.get_config(f'{start},cot')
  cot.max_steps = 300
  final_metrics(sft.train, cot, words)
  hyrea = sft_arithmetic.get_config(f'{words}/model,hyrea')
  step_entropy.annotate(hyrea, str(entropies))
  table = []
  for cell in cells(flags.num_latents):
    seeds = [
      run_cell(cell, seed, workdir, entropies) for seed in range(flags.seeds)
    ]
    settings = {'steps replaced': cell.cold_start, 'c': cell.num_latents}
    means = {
      name: float(np.mean([each[name] for each in seeds])) for name in seeds[0]
    }
    table.append(settings | means)
    write_atomic(workdir / 'table.md', markdown_table(table))
  print(
    f'\n{markdown_table(table)}\n\nwrote {workdir}/table.md; all runs on a '
    f'page:\n  {report_command(str(workdir))}'
  )


def cells(num_latents: list[int]) -> Iterator[Cell]:
  """The baseline; then each number of latents, with steps chosen by entropy and
  at random."""
  yield Cell('cot', 0, 'grpo')
  for c in num_latents:
    for cold_start in 'hyrea', 'random':
      yield Cell(cold_start, c, 'hyrea')


def run_cell(
  cell: Cell, seed: int, workdir: Path, entropies: Path
) -> dict[str, float]:
  """The metrics after either stage of a cell; `entropies` is a folder of
  step_entropy."""
  name = f'{cell.cold_start}-{cell.num_latents}-{seed}'
  cold: Config = sft_arithmetic.get_config(
    f'{workdir}/words/model,{cell.cold_start}'
  )
  with cold.unlocked():
    cold.seed, cold.max_steps, cold.batch_size = seed, 160, 12
    cold.rollout.max_completion_length = MAX_TOKENS
    cold.optimizer.groups.model.lr = 1e-3
    if cell.num_latents:
      share = (1.0,) * len(STAGE_STARTS)
      cold.stages.update(starts=STAGE_STARTS, data_fraction=share)
      cold.curriculum.kwargs.num_latents = cell.num_latents
    if cell.cold_start == 'hyrea':
      cold.data.step_entropy_dir = str(entropies)
  before = final_metrics(sft.train, cold, workdir / f'{name}-cold')
  model = workdir / f'{name}-cold' / 'model'
  config: Config = rl_arithmetic.get_config(f'{model},{cell.rl}')
  with config.unlocked():
    config.seed = seed
    config.rollout.max_completion_length = MAX_TOKENS
    if cell.num_latents:
      config.feedback.init_kwargs.num_latents = cell.num_latents
  after = final_metrics(grpo.train, config, workdir / f'{name}-rl')
  stages = {'cold start': before, 'RL': after}
  return {
    f'{metric}, {stage}': values[metric]
    for metric in METRICS
    for stage, values in stages.items()
  }


def final_metrics(
  train: Callable[[Config, str], Any], config: Config, workdir: Path
) -> dict[str, float]:
  """The evaluation after the last step of a run, which is trained first if it
  has none."""

  def last():
    rows = read_rows(workdir, 'metrics') if workdir.exists() else []
    return [row for row in rows if row['step'] == config.max_steps]

  if not last():
    print(workdir.name, flush=True)
    train(config, str(workdir))
  return {name: last()[-1][metric] for name, metric in METRICS.items()}


if __name__ == '__main__':
  main()
