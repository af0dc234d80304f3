r"""Latent Reasoning Tuning on running sums: latents in place of a thinking.

    python -m experiments.studies.lrt [--workdir=runs/lrt] [--seeds=5] \
        [--part=I/N]

Claims 21 to 26 of the board. Per seed a base of two layers learns to think for
some 20 tokens before it answers, and to answer at once
(hybrid_latent/data/running_sums.py), and is then frozen. Its correct
completions are the training data of reasoners of three layers with 2 to 32
latents, which read the whole prompt:

  SFT      UPDATES steps of 32 given answers
  SFT+RL   RL_STEPS more of 32 x 8 sampled answers, rewarded
  SFT+SFT  RL_STEPS more of 256 given answers, as many
  SFT+RL, shuffled rewards   as SFT+RL, rewards shuffled over the batch

The base is compared with its thinking and without (NoThinking), and after RL
that makes its thinking shorter (ShorterBetter, LC-R1). Half of the answers that
it gives after its thinking are worked, half bare: SFT imitates both, and only
rewards tell which is right more often where latents are the thinking.

All have four completions (at other numbers of latents than 8: one) at
temperature 0.6 and top-p 0.95 of each of the same 2,048 test problems, at
budgets of 10, 20 and 40 tokens. What does not think ends before the tenth
token, so that its one measurement holds at all budgets. Controls of each
reasoner: the latents of another problem, and pause tokens in their place; one
whose latents are dropped is NoThinking. The criteria of the verdicts are in
lrt_verdicts.py; those of refutations were set after the first seed was seen.
"""

from .parser import cells_parser

if __name__ == '__main__':  # before the imports: --help takes a second
  cells_parser('lrt', __doc__, seeds=5).parse_args()

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hybrid_latent import rollout, sharding
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.prefix import prefix
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.types import Mode, Prompt

from ..configs import running_sums
from ..fields.named import problems_of
from ..training.cli import Config
from ..training.dataset_sampling import decoding_actor
from ..training.prompts import prompt_ids
from . import cot_ablation
from .lrt_arms import (
  LATENTS,
  PROBLEMS,
  SHORTER,
  STAGES,
  file_of,
  losses,
  measured,
  sampled_answers,
  train_base,
  train_reasoner,
  train_shorter,
)
from .lrt_figures import figure, table
from .lrt_verdicts import VERDICTS
from .study import Cell, Row, Study, main

OTHERS = (2, 32)  # latents, after SFT
ALL_ARMS = 3  # seeds that have all arms, the others what claims 22, 23, 25 need
FRAGMENTS = 1024  # thinkings of which parts are deleted
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)


def cells(seeds: int) -> Iterator[Cell]:
  """The first seed, then what decides most claims."""
  for seed in range(seeds):
    yield Cell(f'base-{seed}', partial(run_base, seed))
    for stage in STAGES[:3]:
      yield _reasoner_cell(stage, LATENTS, seed)
    if not seed:
      yield from _other_cells(seed)
      yield Cell('modes', run_modes)
      yield Cell('fragments', run_fragments)
  for seed in range(1, seeds):
    yield from _other_cells(seed)


def _other_cells(seed: int) -> Iterator[Cell]:
  for name, method in SHORTER.items():
    yield Cell(f'{method}-{seed}', partial(run_shorter, name, seed))
  if seed < ALL_ARMS:
    for count in OTHERS:
      yield _reasoner_cell('SFT', count, seed)
    yield _reasoner_cell(STAGES[3], LATENTS, seed)


def _reasoner_cell(stage: str, count: int, seed: int) -> Cell:
  name = f'{file_of(stage)}-{count}-{seed}'
  return Cell(name, partial(run_reasoner, stage, count, seed))


# --------------------------------------------------------------------- cells
def run_base(seed: int, workdir: Path) -> list[Row]:
  """The rows of the base, with and without its thinking."""
  base = train_base(workdir, seed)
  run = base.parent
  labels: dict[str, Any] = dict(seed=seed, latents=0)
  return [
    *measured(base, 'chain_of_thought', run / 'thinking', arm='thinking',
              losses=losses(run), **labels),
    *measured(base, 'no_thinking', run / 'no_thinking', arm='NoThinking',
              **labels),
  ]  # fmt: skip


def run_shorter(name: str, seed: int, workdir: Path) -> list[Row]:
  """The rows of the base after RL that makes its thinking shorter."""
  model = train_shorter(name, seed, workdir)
  labels: dict[str, Any] = dict(arm=name, seed=seed, latents=0)
  return measured(
    model, 'chain_of_thought', model.parent / 'thinking', **labels
  )


def run_reasoner(stage: str, count: int, seed: int, workdir: Path) -> list[Row]:
  """The rows of a reasoner, with controls."""
  base = train_base(workdir, seed)
  run = train_reasoner(stage, count, seed, workdir)
  labels: dict[str, Any] = dict(
    arm=stage, seed=seed, latents=count, losses=losses(run)
  )
  return measured(base, 'latent', run / 'latent', f'{run}/reasoner', **labels)


def run_fragments(workdir: Path) -> list[Row]:
  """The accuracy of answers from what is left of a thinking."""
  base = train_base(workdir, 0)
  config: Config = running_sums.get_config(f'{base},words')
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
  config: Config = running_sums.get_config(f'{train_base(workdir, 0)},rl')
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
  arrays: Any = tokens, np.ones(tokens.shape, bool), ids
  prompt = Prompt(*arrays)
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


STUDY = Study(
  name='lrt',
  about='Latent Reasoning Tuning: latents in place of a thinking in words.',
  core_minutes=90,
  cells=cells,
  verdicts=VERDICTS,
  table=table,
  figure=figure,
  seeds=5,
)

if __name__ == '__main__':
  main(STUDY, __doc__)
