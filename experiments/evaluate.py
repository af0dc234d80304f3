r"""Evaluates models, with a row per completion and per token of it.

    python -m experiments.evaluate --workdir=runs/eval \
        --runs runs/quickstart/grpo-0 runs/quickstart/hrpo-0
    python -m experiments.evaluate --workdir=runs/table \
        --config=lrt:MODEL,rl \
        --config.eval.num_prompts=500 --config.eval.num_generations=4 \
        --config.evaluate.reasoners="('sft=FOLDER','sft+rl=FOLDER')" \
        --config.evaluate.models="('ShorterBetter=FOLDER',)"

Evaluates models x feedbacks x modes x controls x budgets x data sets, each a
field of config.evaluate, with config.eval.num_generations completions, one if
greedy, of each of the first config.eval.num_prompts problems. --runs names
folders of runs: their newest checkpoints are the models, each with its own
feedback, prompts and limits; without --config all else is as in the first run.

A model is config.model (`base`) or one of config.evaluate.models, each
NAME=FOLDER, NAME=WORKDIR or NAME=WORKDIR@STEP; a run of experiments.lrt has a
reasoner, as config.evaluate.reasoners have for the base. The modes are
`chain_of_thought`, `no_thinking`, whose prompt ends with
config.rollout.forced_text.no_thinking (NoThinking, or the empty thinking of
Qwen3), and for reasoners `latent`. A feedback is 'NAME: PART; PART', e.g.
'soft sample: soft; feedback.init_kwargs.temperature=0.5;
eval.sampling.greedy=False'.

A model that reads latents is evaluated again with each of
config.evaluate.controls: `other_problem`, with the latents of another problem;
`pause`, with pause tokens in their place; `dropped`, without. They are three
quarters of the time; config.evaluate.controls=() leaves them out.

A budget is the number of tokens that a completion may have, prompt and latents
not counted, and the only limit. It is enforced as in s1 (arXiv 2501.19393) and
in Latent Reasoning Tuning (ICLR 2026): when config.evaluate.answer_reserve
tokens are left, config.rollout.forced_text.on_truncation or .on_budget is
forced, after which the answer follows; so it is where a model ends its
completion within its thinking.

Writes WORKDIR/samples.jsonl, one row per completion, times.jsonl and, computed
from these, table.jsonl and table.md; evaluation/record.py has the fields of the
rows. A killed command resumes when it is given again, and its samples.jsonl is
the same as in one go; models, modes, data sets and so on may be added. seconds
is the time per completion of prefill and decoding, which include what the
record needs, in batches of config.rollout.prompts_per_step *
config.rollout.num_generations rows, without compilation.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

from .training import cli


def _parser() -> cli.Parser:
  parser = cli.config_parser('evaluate', __doc__, required=False)
  parser.add_argument(
    '--runs', nargs='+', metavar='FOLDER', help='runs whose models to evaluate'
  )
  return parser


def options_of(flags: argparse.Namespace) -> Sequence[str]:
  """The options that --runs stands for."""
  if flags.runs:
    from .evaluation.run_options import options_of_runs  # takes a second

    return options_of_runs(flags)
  if not flags.config:
    raise ValueError('--config: write a config, or --runs and folders of runs')
  return ()


if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(_parser(), completed=options_of)

import itertools
import json
from contextlib import ExitStack

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from hybrid_latent import cluster, sharding
from hybrid_latent.feedback.observed import observed
from hybrid_latent.rewards.grader import Grader

from . import PACKAGE
from .evaluation.arms import Arm, arms_of, without_latents
from .evaluation.cell import Cell, cell_of
from .evaluation.datasets import benchmarks_of, datasets_of
from .evaluation.given import score_cell
from .evaluation.record import read_times, record_line
from .evaluation.sampling import Program, sample_cell
from .fields.check import check
from .measures.formats import printable
from .measures.results import read, results, summary
from .report.tables import markdown_table
from .training.actor import Actor, rollout_mesh
from .training.cli import Config
from .training.dataset_sampling import decoding_actor, sampling_fields
from .training.resumable_shards import (
  config_fields,
  print_once,
  validate_job,
  write_lines,
)
from .training.sampler import prefill_and_decode


def evaluate(config: Config, workdir: str) -> list[dict]:
  """Runs `config` in `workdir`. Returns the rows of the table."""
  folder, turns = epath.Path(workdir), itertools.count()
  record_job = validate(config, folder)
  arms, datasets = arms_of(config), datasets_of(config)
  cells = [cell_of(arm, x, folder) for arm in arms for x in datasets]
  check_controls(cells)
  models = {arm.model: without_latents(arm) for arm in reversed(arms)}
  given = benchmarks_of(config, 'given')
  scored = [
    cell_of(arm, x, folder) for arm in reversed(models.values()) for x in given
  ]
  missing, unscored = missing_cells(cells), missing_cells(scored)

  def begin_batch():
    record_job()
    if cluster.preemption_requested(next(turns)):
      done = len(cells) + len(scored) - len(missing) - len(unscored)
      raise cluster.Preempted(done, workdir)

  samples = config.eval.num_generations
  if samples > 1 and all(arm.greedy for arm in arms):
    print_once(
      f'config.eval.num_generations={samples} has no effect, as all arms are '
      'greedy: write eval.sampling.greedy=False'
    )
  of_model = lambda cell: (cell.arm.model, cell.arm.feedback)
  with ExitStack() as stack:
    graders = {
      name: stack.enter_context(Grader(rewards, **config.grader))
      for name, rewards in {
        cell.dataset.name: cell.dataset.rewards for cell in missing
      }.items()
    }
    for _, some in itertools.groupby(missing, of_model):
      sample_model([*some], graders, begin_batch)
  for _, some in itertools.groupby(unscored, of_model):
    score_model([*some], begin_batch)
  record_job()
  return write_record(folder, cells, scored)


def validate(config: Config, folder: epath.Path) -> Callable[[], None]:
  """Returns what records the settings that all rows depend on
  (`resumable_shards.validate_job`). ValueError, at once, for settings that
  cannot be, and where the folder has a record of other settings."""
  check(config, 'evaluate', jax.process_count())
  counts = 'eval.num_generations', 'eval.num_prompts'
  more = 'eval.sampling', 'evaluate.answer_reserve', 'evaluate.as_trained'
  job = sampling_fields(config_fields(config, *counts), *counts, *more)
  return validate_job(config, folder / 'evaluate.json', job, [], 'a record')


def check_controls(cells: Sequence[Cell]) -> None:
  """ValueError where a control needs another problem than there is."""
  for arm, dataset, *_ in cells:
    if arm.control == 'other_problem' and len(dataset.rows) < 2:
      raise ValueError(
        f"config.evaluate.controls has 'other_problem', and {dataset.name} one "
        'problem: write controls without it, or evaluate two problems'
      )


def missing_cells(cells: Sequence[Cell]) -> list[Cell]:
  """Those that are not complete for process 0."""
  if not jax.process_index():
    for cell in cells:
      cell.remove_damaged()
  complete = np.array([cell.is_complete() for cell in cells])
  complete = multihost_utils.broadcast_one_to_all(complete).tolist()
  return [cell for cell, x in zip(cells, complete, strict=True) if not x]


def sample_model(
  cells: Sequence[Cell],
  graders: Mapping[str, Grader],
  begin_batch: Callable[[], None],
) -> None:
  """Samples the cells of a model with one feedback: it is loaded once for all
  of their modes, controls, budgets and data sets."""
  actor, mesh = loaded(cells[0].arm)
  of_program = lambda cell: (cell.arm.mode, cell.arm.control)
  for _, group in itertools.groupby(cells, of_program):
    same = [*group]
    arm = same[0].arm
    feedback = observed(arm.controlled(actor.policy))
    rollout = arm.config.rollout.copy_and_resolve_references()
    if arm.control == 'other_problem':
      rollout.max_num_seqs = 0  # it reads other rows at the same position
    functions = prefill_and_decode(rollout, feedback)
    program = Program(actor, mesh, feedback, *functions)
    for cell in same:
      grader = graders[cell.dataset.name]
      sample_cell(cell, program, grader, begin_batch)


def score_model(cells: Sequence[Cell], begin_batch: Callable[[], None]) -> None:
  """Scores the given answers of the cells of a model."""
  actor, mesh = loaded(cells[0].arm)
  for cell in cells:
    score_cell(cell, actor, mesh, begin_batch)


def loaded(arm: Arm) -> tuple[Actor, Mesh]:
  """The model of an arm, on the mesh of sampling."""
  config = arm.config
  mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
  return decoding_actor(config, mesh, arm.run), mesh


def write_record(
  folder: epath.Path, cells: Sequence[Cell], scored: Sequence[Cell]
) -> list[dict]:
  """Writes the files of complete cells. Returns the rows of the table."""
  arms = {cell.arm.name for cell in cells}
  if left_out := ', '.join(sorted(recorded_arms(folder) - arms)):
    print_once(
      f'left out of the record: {left_out}: write all models and settings in '
      'one command, which samples again only what is missing'
    )
  files = {'samples': cells} | ({'given': scored} if scored else {})
  for name, some in files.items():
    lines = (line for cell in some for line in cell.lines())
    write_lines(folder / f'{name}.jsonl', lines)
  write_lines(folder / 'times.jsonl', (record_line(x.times()) for x in cells))
  if jax.process_index():
    return []
  # Without what is not known: NaN, which JSON lacks.
  table = [
    {name: x for name, x in row.items() if x == x}
    for row in results(read({'': f'{folder}'}))
  ]
  lines = (f'{json.dumps(row)}\n' for row in table)
  write_lines(folder / 'table.jsonl', lines)
  shown = markdown_table(printable(summary(table)))
  write_lines(folder / 'table.md', [shown + '\n'])
  print_once(
    f'{shown}\nwrote {folder}/samples.jsonl, times.jsonl, table.md and '
    f'table.jsonl\nall measures, a page of figures, one to read the samples:\n'
    f'  python -m {PACKAGE}.measures --record={folder}\n'
    f'  python -m {PACKAGE}.report --runs {folder}\n'
    f'  python -m {PACKAGE}.traces --record={folder}'
  )
  return table


def recorded_arms(folder: epath.Path) -> set[str]:
  """The arms of the record that is there."""
  if not (folder / 'times.jsonl').exists():
    return set()
  return {row['arm'] for row in read_times(folder)}


if __name__ == '__main__':
  cli.run(evaluate, OPTIONS, resumes=False)
