r"""Latent Reasoning Tuning on running sums: latents in place of a thinking.

    python -m experiments.studies.lrt [--workdir=runs/lrt] [--seeds=3] \
        [--part=I/N]

Claims 21 to 26 of the board. Per seed a base of two layers learns to think for
some forty tokens before it answers, and to answer at once
(hybrid_latent/data/running_sums.py), and is then frozen. Its correct
completions are the training data of reasoners of three layers, with 4 to 128
latents, which read the whole prompt:

  SFT      UPDATES steps of 32 answers
  SFT+RL   RL_STEPS more of 32 x 8 sampled answers, rewarded
  SFT+SFT  RL_STEPS more of 256 given answers, as many
  SFT+RL, shuffled rewards   as SFT+RL, rewards shuffled over the batch

The base is compared with and without its thinking (NoThinking), and after RL
that makes its thinking shorter (ShorterBetter, LC-R1). Half of the answers that
the base gives after its thinking are worked, half bare: SFT imitates both, and
only the reward tells which is right more often where latents are the thinking.

All have four completions at temperature 0.6 and top-p 0.95 of each of the same
2,048 test problems, at budgets of 10, 28 and 64 tokens. Answers end before the
tenth token, so that one budget is measured for those that do not think.
Controls of each reasoner: the latents of another problem, and pause tokens in
their place; without latents it is the base without thinking. The criteria of
the verdicts, fixed before the runs, are in lrt_verdicts.py.
"""

from .parser import cells_parser

if __name__ == '__main__':  # before the imports: --help takes a second
  cells_parser('lrt', __doc__).parse_args()

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hybrid_latent import rollout, sharding
from hybrid_latent.data import running_sums as task
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.prefix import prefix
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.types import Mode, Prompt

from .. import generate, grpo, lrt, sft
from ..configs import running_sums
from ..evaluation.record import read_record
from ..fields.named import problems_of
from ..new_model import SMALL, new_model
from ..report.tables import read_rows
from ..training.cli import Config
from ..training.dataset_sampling import decoding_actor
from ..training.prompts import prompt_ids
from . import cot_ablation
from .lrt_verdicts import VERDICTS, figure, table
from .runs import evaluate_once, train_once
from .study import Cell, Row, Study, main

MODEL = replace(
  SMALL, vocab=320, width=64, layers=2, heads=2, kv_heads=2, mlp=192
)
BACKBONE = replace(SMALL, vocab=320, width=128, heads=4, kv_heads=4, mlp=384)
COMPLETIONS = 24_576  # sampled of the base
UPDATES, RL_STEPS = 1500, 150
LATENTS, OTHERS = 16, (4, 64, 128)  # all arms; SFT and RL alone
SHORTER_STEPS = 60  # of ShorterBetter and LC-R1, 16 x 8 completions each
PROBLEMS, SAMPLES = 2048, 4
FRAGMENTS = 1024  # thinkings of which parts are deleted
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)
STAGES = ('SFT', 'SFT+RL', 'SFT+SFT', 'SFT+RL, shuffled rewards')
SHORTER = {'ShorterBetter': 'shorter_better', 'LC-R1': 'lc_r1'}


def cells(seeds: int) -> Iterator[Cell]:
  """What decides most claims comes first."""
  for seed in range(seeds):
    yield Cell(f'base-{seed}', partial(run_base, seed))
    for stage in STAGES[:3]:
      yield _reasoner_cell(stage, LATENTS, seed)
    for name, method in SHORTER.items():
      yield Cell(f'{method}-{seed}', partial(run_shorter, name, seed))
    for count in OTHERS:
      for stage in STAGES[:2]:
        yield _reasoner_cell(stage, count, seed)
    if not seed:
      yield Cell('modes', run_modes)
      yield Cell('fragments', run_fragments)
    yield _reasoner_cell(STAGES[3], LATENTS, seed)


def _reasoner_cell(stage: str, count: int, seed: int) -> Cell:
  name = f'{_file(stage)}-{count}-{seed}'
  return Cell(name, partial(run_reasoner, stage, count, seed))


def _file(stage: str) -> str:
  return re.sub('[+, ]+', '-', stage.lower())


# --------------------------------------------------------------------- cells
def run_base(seed: int, workdir: Path) -> list[Row]:
  """The rows of the base, with and without its thinking."""
  base = train_base(workdir, seed)
  labels = dict(seed=seed, latents=0)
  curve = curve_of(base.parent)
  return [
    *measured(base, base.parent, arm='thinking', curve=curve, **labels),
    *measured(base, base.parent, 'no_thinking', arm='NoThinking', **labels),
  ]


def run_shorter(name: str, seed: int, workdir: Path) -> list[Row]:
  """The rows of the base after RL that makes its thinking shorter."""
  base = train_base(workdir, seed)
  config = running_sums.get_config(f'{base},{SHORTER[name]}')
  with config.unlocked():
    config.seed, config.max_steps = seed, SHORTER_STEPS
    config.rollout.prompts_per_step = 16
    config.eval.num_prompts = 0
  run = train_once(grpo.train, config, workdir / f'{SHORTER[name]}-{seed}')
  return measured(run / 'model', run, arm=name, seed=seed, latents=0)


def run_reasoner(stage: str, count: int, seed: int, workdir: Path) -> list[Row]:
  """The rows of a reasoner, with controls."""
  run = train_reasoner(stage, count, seed, workdir)
  base = train_base(workdir, seed)
  config = evaluation(base, 'latent')
  with config.unlocked():
    config.evaluate.update(base=False, controls=('other_problem', 'pause'))
    config.evaluate.reasoners = (f'reasoner={run}/reasoner',)
    if count != LATENTS:
      config.eval.num_generations = 1
  labels = dict(arm=stage, seed=seed, latents=count, curve=curve_of(run))
  return with_forms(
    evaluate_once(config, run / 'latent', **labels), run / 'latent'
  )


def run_fragments(workdir: Path) -> list[Row]:
  """The accuracy of answers from what is left of a thinking."""
  base = train_base(workdir, 0)
  config = running_sums.get_config(f'{base},words')
  with config.unlocked():
    config.generate.num_prompts = FRAGMENTS
    config.rollout.max_answer_tokens = running_sums.ANSWER
    config.eval.num_generations, config.eval.sampling.greedy = 1, True
  found = cot_ablation.analyze(
    config,
    f'{workdir}/fragments',
    generated=f'{sampled_answers(workdir, 0)}',
    shares=SHARES,
  )
  return [dict(arm='fragments', seed=0, control='', **row) for row in found]


def run_modes(workdir: Path) -> list[Row]:
  """How the completions of a policy with a reasoner differ from those of its
  base alone, where every other row of a batch reads latents."""
  run = train_reasoner('SFT', LATENTS, 0, workdir)
  config = running_sums.get_config(f'{train_base(workdir, 0)},rl')
  with config.unlocked():
    config.feedback.init_kwargs.source = f'{run}/reasoner'
    config.rollout.max_completion_length = running_sums.COMPLETION
  policy, _, tokenizer, _, stop = decoding_actor(
    config, sharding.mesh(**config.mesh)
  )
  rows = problems_of(config.data)(split='test')
  ids = np.arange(PROBLEMS)
  tokens = np.array(
    [prompt_ids(tokenizer, config.data, rows[i]) for i in ids.tolist()]
  )
  prompt = Prompt(tokens, np.ones(tokens.shape, bool), ids)
  sampled = jax.jit(
    partial(
      rollout,
      key=jax.random.key(0),
      sampling=sampling(),
      stop=stop,
      max_steps=running_sums.COMPLETION,
    ),
    static_argnames='feedback',
  )
  latent = ids % 2 == 1
  modes = np.where(latent, Mode.LATENT, Mode.CHAIN_OF_THOUGHT)
  both = sampled(policy, feedback=prefix(), prompt=prompt._replace(mode=modes))
  alone = sampled(
    policy._replace(feedback=None), feedback=discrete(), prompt=prompt
  )
  equal = np.asarray((both.tokens == alone.tokens).all(axis=1))
  apart = np.abs(both.log_probs - alone.log_probs)[equal & ~latent]
  return [
    {
      'arm': 'modes',
      'seed': 0,
      'completions': int((~latent).sum()),
      'equal': int(equal[~latent].sum()),
      'log_prob_difference': float(apart.max()),
      'latent_completions': int(latent.sum()),
      'latent_equal': int(equal[latent].sum()),
    }
  ]


# ----------------------------------------------------------------- trainings
def train_base(workdir: Path, seed: int) -> Path:
  """The folder of a model that thinks in words."""
  start = workdir / f'start-{seed}'

  def train(config, run):
    if not start.exists():
      new_model(start, task.tokenizer(), MODEL, seed)
    sft.train(config, run)

  config = running_sums.get_config(f'{start},thinking')
  with config.unlocked():
    config.seed = seed
  return train_once(train, config, workdir / f'base-{seed}') / 'model'


def sampled_answers(workdir: Path, seed: int) -> Path:
  """The folder of the correct completions of a base."""
  config = running_sums.get_config(f'{train_base(workdir, seed)},words')
  with config.unlocked():
    config.seed = seed
    config.rollout.prompts_per_step = 512
    config.generate.update(num_prompts=COMPLETIONS, rows_per_shard=4096)
  return train_once(generate.generate, config, workdir / f'answers-{seed}')


def train_reasoner(stage: str, count: int, seed: int, workdir: Path) -> Path:
  """The folder of the run of a reasoner's last stage."""
  base, backbone = train_base(workdir, seed), workdir / f'backbone-{seed}'
  method = 'sft' if stage.endswith('SFT') else 'rl'
  config = running_sums.get_config(f'{base},{method},{backbone}')
  with config.unlocked():
    config.seed, config.max_steps = seed, RL_STEPS
    config.feedback.init_kwargs.latents = count
    config.eval.every = RL_STEPS // 3
    if method == 'sft':
      config.data.sft_answers_dir = f'{sampled_answers(workdir, seed)}'
    if stage == 'SFT':
      config.max_steps, config.eval.every = UPDATES, UPDATES // 5
    else:
      sft_run = train_reasoner('SFT', count, seed, workdir)
      config.feedback.init_kwargs.source = f'{sft_run}/reasoner'
    if stage == 'SFT+SFT':
      config.rollout.prompts_per_step *= 8  # completions of a step of RL
      for group in config.optimizer.groups.values():
        group.lr = 5e-4
    if 'shuffled' in stage:
      config.advantage.function = 'shuffled:group_relative'

  def train(config, run):
    if not backbone.exists():
      new_model(backbone, task.tokenizer(), BACKBONE, seed)
    lrt.train(config, run)

  return train_once(train, config, workdir / f'{_file(stage)}-{count}-{seed}')


# -------------------------------------------------------------- measurements
def evaluation(base: Path, mode: str) -> Config:
  """The evaluation of a base in a mode; at the lowest budget alone where there
  is no thinking."""
  config = running_sums.get_config(f'{base},rl')
  with config.unlocked():
    config.eval.update(num_prompts=PROBLEMS, num_generations=SAMPLES)
    config.rollout.update(prompts_per_step=512, num_generations=SAMPLES)
    config.rollout.max_completion_length = max(config.evaluate.budgets)
    config.evaluate.modes = (mode,)
    if mode != 'chain_of_thought':
      config.evaluate.budgets = config.evaluate.budgets[:1]
  return config


def measured(
  model: Path, run: Path, mode: str = 'chain_of_thought', **labels: Any
) -> list[Row]:
  """The rows of a model without a reasoner."""
  folder = run / mode
  rows = evaluate_once(evaluation(model, mode), folder, **labels)
  return with_forms(rows, folder)


def with_forms(rows: list[Row], folder: Path) -> list[Row]:
  """The rows, with the share of worked answers and the accuracy of either
  form."""
  worked: dict[str, list[tuple[bool, float]]] = {}
  for sample in read_record(folder):
    answer = sample['completion'].rpartition('</think>')[2]
    is_worked = bool(answer.partition('####')[0].strip())
    pair = is_worked, sample['correct'] or 0.0
    worked.setdefault(sample['arm'], []).append(pair)
  for row in rows:
    pairs = worked[row['evaluated']]
    row['worked'] = float(np.mean([x for x, _ in pairs]))
    for form, name in (True, 'worked'), (False, 'bare'):
      graded = [grade for is_worked, grade in pairs if is_worked == form]
      row[f'accuracy_{name}'] = float(np.mean(graded)) if graded else None
  return rows


def curve_of(run: Path) -> dict[str, list]:
  """The loss, averaged over tenths of a run, and the accuracies of its
  evaluations."""
  rows = read_rows(run, 'metrics')
  losses = [row['loss'] for row in rows if 'loss' in row]
  parts = np.array_split(losses, 10)
  return {
    'loss': [round(float(part.mean()), 4) for part in parts],
    'accuracy': [
      [row['step'], round(row['eval/accuracy'], 4)]
      for row in rows
      if 'eval/accuracy' in row
    ],
  }


STUDY = Study(
  name='lrt',
  about='Latent Reasoning Tuning: latents in place of a thinking in words.',
  core_minutes=50,
  cells=cells,
  verdicts=VERDICTS,
  table=table,
  figure=figure,
)

if __name__ == '__main__':
  main(STUDY, __doc__)
