r"""Soft Tokens against hard and fuzzy training, where pass@k is set by design.

    python -m experiments.studies.soft_tokens [--workdir=runs/soft_tokens] \
        [--seeds=5] [--part=I/N]

A new model imitates a teacher that errs (data/noisy_states.py, table `rule`),
so that its pass@1 and pass@32 are known: only the reward tells right from
wrong, and sharpening onto even states gains accuracy on every fact and loses
the right answers that are odd. RL (RLOO, 8 x 32 completions, equal
steps) trains with hard, soft and fuzzy thinking on problems that do not meet
one fact in four, soft also at a third of the rate, the better of which counts:
with the rate of hard training it is unsteady (a rule set after the first seed
was seen). Each seed has facts, a base and
RL of its own.

Every `EVERY` steps a checkpoint is scored on all test problems: the exact
probability p of the right solution (likelihoods.py), with which k samples of
hard thinking have a right one with 1 - (1 - p)^k, and whether greedy decoding
gives it; and likewise on a second task, held out of RL. As in the paper greedy
accuracy chooses a checkpoint, on a quarter of the problems; the others compare
it, and it is sampled in the paper's six inference modes.

Equal budgets confound what did not learn with what stayed diverse. So soft
training is also compared with the checkpoint of hard training, or the base,
whose greedy accuracy is nearest, and with hard training on the rewards of other
problems.

Claims of Soft Tokens (arXiv 2509.19170) and their criteria; differences are
soft - hard in hard thinking, paired by seed and problem:

7. Equal at pass@1, greedy. Shown where the interval is above -0.03, refuted
   where it is below.
8. Soft exceeds hard at pass@32. Shown where the difference is above 0, also at
   equal greedy accuracy; refuted where either is below 0.02.
9. Soft training with hard inference is the best pair. Shown where no other pair
   may exceed it by 0.03, greedy at pass@1 and sampled at pass@32; refuted where
   one does exceed it.
10. Soft training preserves predictions out of domain. Shown where accuracy is
   above -0.03 and nats per token of the right solution are below 0, also at
   equal greedy accuracy. Refuted where accuracy is below -0.03, or either
   difference of nats above -0.01.
11. The overhead is minimal: a rollout of soft thinking takes less than 1.25
   times the CPU seconds of one of hard thinking.

7, 8 and 10 need a hard training that learns.
"""

from .parser import cells_parser

if __name__ == '__main__':  # before the imports: --help takes a second
  cells_parser('soft_tokens', __doc__, seeds=5).parse_args()

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hybrid_latent.data import noisy_states

from .. import grpo, sft
from ..configs import noisy_states as configs
from ..configs.soft_tokens_table import MODES
from ..new_model import SMALL, new_model
from ..report.tables import write_atomic
from ..training.cli import Config
from .likelihoods import Likelihoods, solution_likelihoods
from .overhead import rollout_seconds
from .runs import evaluate_once, train_once
from .soft_tokens_rows import best
from .soft_tokens_verdicts import MODELS, SOFT, VERDICTS, figure, table
from .study import Cell, Row, Study, main

BASE_STEPS, STEPS, EVERY = 1200, 240, 40
GRID = 256  # problems of the six modes, with 32 samples
LATENTS = 256  # in a row, for the overhead


class Arm(NamedTuple):
  """A method of configs/noisy_states.py, with fields of its own."""

  method: str
  fields: Mapping[str, Any] | None = None
  seeds: int = 99  # at most


SHUFFLED = {'advantage.function': 'shuffled:leave_one_out'}
SLOW = {'optimizer.groups.model.lr': 1e-4}
ARMS = {
  'hard': Arm('hard'),
  'soft': Arm('soft'),
  'fuzzy': Arm('fuzzy'),
  'hard, shuffled': Arm('hard', SHUFFLED, seeds=1),
  'soft, slow': Arm('soft', SLOW),
}
LOGGED = {  # of a row -> of metrics.jsonl
  'reward': 'reward',
  'entropy': 'entropy',
  'equal_rewards': 'frac_reward_zero_std',  # share of the groups
}
SIZES = dict(width=64, heads=4, kv_heads=4, head_dim=16, mlp=192)
MODEL = replace(SMALL, vocab=320, layers=1, **SIZES)


def cells(seeds: int) -> Iterator[Cell]:
  """What decides most first, by seed: trainings, then the six modes."""
  for seed in range(seeds):
    yield Cell(f'base-{seed}', partial(run_base, seed))
    for name, arm in ARMS.items():
      if seed < arm.seeds:
        yield Cell(name_of(name, seed), partial(likelihood_rows, name, seed))
  yield Cell('overhead', run_overhead)
  for seed in range(seeds):
    for name in MODELS:
      yield Cell(f'grid-{name}-{seed}', partial(grid_rows, name, seed))


def run_base(seed: int, workdir: Path) -> list[Row]:
  """The imitator, and what it would be if it were perfect."""
  known, rows = noisy_states.facts(seed=seed), test_rows('in', seed)
  ways = [noisy_states.right_way(row['question'], known) for row in rows]
  design = [noisy_states.pass_at_1(row['question'], known) for row in rows]
  perfect = {
    **{'arm': 'teacher', 'seed': seed, 'dataset': 'in', 'step': 0},
    'probability': [round(p, 4) for p in design],
    'held_back': [int(any(map(noisy_states.held_back, way))) for way in ways],
  }
  return [perfect, *likelihood_rows('base', seed, workdir)]


def run_overhead(workdir: Path) -> list[Row]:
  """The seconds of a rollout of many latents, alternating with tokens."""
  folder = workdir / 'random'
  if not folder.exists():
    new_model(folder, noisy_states.tokenizer())
  configs_of = {
    x: configs.get_config(f'{folder},{x}') for x in ('hard', 'soft')
  }
  seconds = rollout_seconds(configs_of, LATENTS)
  row = {'arm': 'overhead', 'seed': 0, 'dataset': 'overhead'}
  return [row | {'latents': LATENTS} | seconds]


def train_base(workdir: Path, seed: int) -> Path:
  """The folder of a model that imitates the teacher."""
  run, start = workdir / f'base-{seed}', workdir / f'start-{seed}'
  if not start.exists():
    new_model(start, noisy_states.tokenizer(), MODEL, seed)
  config: Config = configs.get_config(f'{start}').unlock()
  config.seed = config.data.kwargs.table_seed = seed
  config.max_steps = BASE_STEPS
  return train_once(sft.train, config.lock(), run) / 'model'


def config_of(workdir: Path, arm: str, seed: int) -> Config:
  """The config of an arm, which begins with the base of its seed."""
  method, fields, _ = ARMS[arm]
  base = train_base(workdir, seed)
  config: Config = configs.get_config(f'{base},{method}').unlock()
  config.seed = config.data.kwargs.table_seed = seed
  config.max_steps = STEPS
  config.checkpoint.update(every=EVERY, keep=STEPS // EVERY)
  config.update_from_flattened_dict(fields or {})
  return config.lock()


def likelihood_rows(arm: str, seed: int, workdir: Path) -> list[Row]:
  """The likelihoods of the right solutions under the checkpoints of an arm,
  which is trained first, or under the base."""
  run, steps = workdir / name_of(arm, seed), range(EVERY, STEPS + 1, EVERY)
  config = config_of(workdir, 'hard' if arm == 'base' else arm, seed)
  if arm == 'base':
    steps = [0]
  else:
    train_once(grpo.train, config, run)
  if (kept := run / 'likelihoods.json').exists():
    return json.loads(kept.read_text())
  tests = {name: test_rows(name, seed) for name in noisy_states.TASKS}
  together = [row for some in tests.values() for row in some]
  ends = np.cumsum([*map(len, tests.values())])[:-1]
  found = []
  for step in steps:
    scores = solution_likelihoods(config, f'{run}', step, together)
    parts = zip(*(np.split(column, ends) for column in scores), strict=True)
    for dataset, part in zip(tests, map(Likelihoods._make, parts), strict=True):
      row = {'arm': arm, 'seed': seed, 'dataset': dataset, 'step': step}
      row['greedy'] = part.greedy.astype(int).tolist()
      for name in 'probability', 'nats':
        row[name] = [float(f'{x:.4g}') for x in getattr(part, name)]
      found.append(row | means_before(step, run))
  write_atomic(kept, json.dumps(found))
  return found


def means_before(step: int, run: Path) -> Row:
  """What the steps before a checkpoint have logged; nothing at step 0."""
  lines = (run / 'metrics.jsonl').read_text().splitlines()
  logged = [json.loads(line) for line in lines]
  some = [x for x in logged if step - EVERY <= x['step'] < step]
  return {
    name: float(f'{np.mean([x[of] for x in some if of in x]):.4g}')
    for name, of in LOGGED.items()
    if some
  }


def grid_rows(arm: str, seed: int, workdir: Path) -> list[Row]:
  """The six modes of the best checkpoint of an arm, or of the base; soft
  thinking of soft training also with other latents."""
  folder, name = workdir / f'grid-{name_of(arm, seed)}', name_of(arm, seed)
  config = config_of(workdir, 'hard' if arm == 'base' else arm, seed)
  step = best(likelihood_rows(arm, seed, workdir), arm)[0]['step']
  with config.unlocked():
    config.max_steps = 0
    config.eval.update(num_prompts=GRID, num_generations=32)
    config.evaluate.update(
      base=not step,
      models=(f'{name}={workdir / name}@{step}',) if step else (),
      feedbacks=tuple(MODES),
      controls=(),
    )
  found = evaluate_once(config, folder, arm=arm, seed=seed)
  if arm in SOFT:
    mode = next(mode for mode in MODES if mode.startswith('soft greedy'))
    with config.unlocked():
      config.evaluate.update(feedbacks=(mode,))
      config.evaluate.controls = ('other_problem', 'pause', 'dropped')
    folder = folder.with_name(f'{folder.name}-controls')
    again = evaluate_once(config, folder, arm=arm, seed=seed)
    found += [row for row in again if row['control']]
  return found


def test_rows(dataset: noisy_states.Task, seed: int) -> list[dict]:
  """All test problems of a task, each once."""
  rows = noisy_states.problems(
    'test', count=16384, table_seed=seed, tasks=(dataset,)
  )
  return [*{row['question']: row for row in rows}.values()]


def name_of(arm: str, seed: int) -> str:
  """Of a cell and of its run."""
  return f'{arm.replace(", ", "-")}-{seed}'


STUDY = Study(
  name='soft_tokens',
  about='Soft Tokens: hard, soft and fuzzy training of a base of known pass@k',
  core_minutes=45,
  cells=cells,
  verdicts=VERDICTS,
  table=table,
  figure=figure,
  seeds=5,
)

if __name__ == '__main__':
  main(STUDY, __doc__)
