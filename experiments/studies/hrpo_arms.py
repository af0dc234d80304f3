"""The trainings and evaluations of the study of HRPO."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_latent.data import arithmetic

from .. import grpo, sft
from ..configs import rl_arithmetic, sft_arithmetic
from ..new_model import new_model
from ..training.cli import Config
from .runs import evaluate_once, train_once
from .study import Cell, Row

PROBLEMS = 2048
TASK = dict(count=16384, steps=(2, 4), largest=9)
# Method of sft_arithmetic.py, steps, schedule. The first is that of the
# quickstart; the second stops where the accuracy rises fastest.
BASES = {'mixed': ('mixed', 400, 'cosine'), 'worked': ('cot', 230, 'constant')}
CURVES = {  # of a row -> of metrics.jsonl
  'hidden_ratio': 'hidden_ratio',
  'reward': 'reward',
  'length': 'completions/mean_length',
  'entropy': 'entropy',
}


class Arm(NamedTuple):
  """A method of rl_arithmetic.py, with fields of its own."""

  method: str
  fields: Mapping[str, Any] = {}
  base: str = 'mixed'
  steps: int = 100
  all_seeds: bool = False


_repeated = partial(Arm, all_seeds=True)
_worked = partial(Arm, base='worked')
R_MIN = 'feedback.init_kwargs.r_min'
SHUFFLED = {'advantage.function': 'shuffled:group_relative'}
NO_DECAY = {
  f'optimizer.groups.{group}.weight_decay': 0.0
  for group in ('model', 'gate', 'decay')
}
ARMS = {
  'HRPO': _repeated('hrpo'),
  'HRPO, no decay': _repeated('hrpo', NO_DECAY),
  'HRPO, shuffled rewards': _repeated('hrpo', SHUFFLED),
  'HRPO, no decay, shuffled rewards': _repeated('hrpo', NO_DECAY | SHUFFLED),
  'GRPO': _repeated('grpo'),
  'interpolated': _worked('interpolated', steps=300),
  'direct': _worked('direct'),
  'GRPO, worked base': _worked('grpo'),
  'PPO': Arm('ppo'),
  'HRPO, r_min 0.9': Arm('hrpo', {R_MIN: 0.9}),
  'HRPO, r_min 0.99': Arm('hrpo', {R_MIN: 0.99}),
}


def cells(seeds: int) -> Iterator[Cell]:
  """The bases, all arms with the first seed, then those of all seeds."""
  for base in BASES:
    yield Cell(f'base-{base}', partial(run_base, base))
  for seed in range(seeds):
    for name, arm in ARMS.items():
      if arm.all_seeds or not seed:
        run = partial(run_arm, name, seed)
        yield Cell(f'{_file(name)}-{seed}', run)


def run_base(base: str, workdir: Path) -> list[Row]:
  """The accuracy before RL."""
  config = config_of(Arm('grpo'), train_base(base, workdir), seed=0)
  folder = workdir / f'base-{base}' / 'eval'
  return evaluate_once(
    evaluation_of(config), folder, arm=f'{base} base', seed=0
  )


def run_arm(name: str, seed: int, workdir: Path) -> list[Row]:
  """The accuracy after RL, with controls, and the curves of the training."""
  arm, labels = ARMS[name], {'arm': name, 'seed': seed}
  config = config_of(arm, train_base(arm.base, workdir), seed)
  run = train_once(grpo.train, config, workdir / f'{_file(name)}-{seed}')
  rows = evaluate_once(evaluation_of(config, run), run / 'eval', **labels)
  return [*rows, {**labels, 'control': 'training', 'curves': curves(run)}]


def train_base(base: str, workdir: Path) -> str:
  """The folder of a model after supervised fine-tuning."""
  folder, (method, steps, schedule) = workdir / f'base-{base}', BASES[base]
  start = folder / 'start'
  config: Config = sft_arithmetic.get_config(f'{start},{method}')
  with config.unlocked():
    config.max_steps, config.optimizer.schedule = steps, schedule
    config.data.kwargs.update(TASK)
    config.eval.num_prompts = 0

  def train(config: Config, workdir: str) -> None:
    if not start.exists():
      new_model(start, arithmetic.tokenizer())
    sft.train(config, workdir)

  return str(train_once(train, config, folder) / 'model')


def config_of(arm: Arm, base: str, seed: int) -> Config:
  """The training of an arm."""
  config: Config = rl_arithmetic.get_config(f'{base},{arm.method}')
  with config.unlocked():
    config.seed, config.max_steps = seed, arm.steps
    config.data.kwargs.update(TASK)
    config.rollout.update(max_prompt_length=44, max_completion_length=28)
    config.eval.num_prompts = 0
    config.update_from_flattened_dict(arm.fields)
  return config


def evaluation_of(config: Config, run: Path | None = None) -> Config:
  """The greedy evaluation of a run, or of the model that it starts from."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.eval.num_prompts = PROBLEMS
    config.rollout.update(prompts_per_step=512, num_generations=1)
    if run:
      config.evaluate.update(base=False, models=(f'trained={run}',))
    # With the first seed only, and not of what learns nothing from rewards.
    if config.seed or config.advantage.function in SHUFFLED.values():
      config.evaluate.controls = ()
  return config


def curves(run: Path) -> dict[str, list[float]]:
  """Metrics of each step, over its sampled completions."""
  lines = (run / 'metrics.jsonl').read_text().splitlines()
  rows = {row['step']: row for row in map(json.loads, lines) if 'loss' in row}
  return {
    name: [round(rows[step][of], 5) for step in sorted(rows)]
    for name, of in CURVES.items()
  }


def _file(name: str) -> str:
  return re.sub(r'[^\w.]+', '-', name)
