"""The trainings and evaluations of the study of LRT."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_latent.data import running_sums as task

from .. import generate, grpo, lrt, sft
from ..configs import running_sums
from ..evaluation.record import read_record
from ..new_model import SMALL, new_model
from ..report.tables import read_rows
from ..training.cli import Config
from .runs import evaluate_once, train_once
from .study import Row

MODEL = replace(
  SMALL, vocab=320, width=64, layers=2, heads=2, kv_heads=2, mlp=192
)
BACKBONE = replace(MODEL, layers=3, mlp=128)
COMPLETIONS = 16_384  # sampled of the base
UPDATES, RL_STEPS = 2000, 100
LATENTS = 8  # of most reasoners
SHORTER_STEPS = 40  # of ShorterBetter and LC-R1, 8 x 8 completions each
PROBLEMS, SAMPLES = 2048, 4
STAGES = ('SFT', 'SFT+RL', 'SFT+SFT', 'SFT+RL, shuffled rewards')
SHORTER = {'ShorterBetter': 'shorter_better', 'LC-R1': 'lc_r1'}


def train_base(workdir: Path, seed: int) -> Path:
  """The folder of a model that thinks in words."""
  start = workdir / f'start-{seed}'

  def train(config, run):
    if not start.exists():
      new_model(start, task.tokenizer(), MODEL, seed)
    sft.train(config, run)

  config: Config = running_sums.get_config(f'{start},thinking')
  with config.unlocked():
    config.seed = seed
  return train_once(train, config, workdir / f'base-{seed}') / 'model'


def sampled_answers(workdir: Path, seed: int) -> Path:
  """The folder of the correct completions of a base."""
  config: Config = running_sums.get_config(f'{train_base(workdir, seed)},words')
  with config.unlocked():
    config.seed = seed
    config.rollout.prompts_per_step = 512
    config.generate.update(num_prompts=COMPLETIONS, rows_per_shard=4096)
  return train_once(generate.generate, config, workdir / f'answers-{seed}')


def train_shorter(name: str, seed: int, workdir: Path) -> Path:
  """The folder of a base after RL that makes its thinking shorter."""
  base, method = train_base(workdir, seed), SHORTER[name]
  config: Config = running_sums.get_config(f'{base},{method}')
  with config.unlocked():
    config.seed, config.max_steps = seed, SHORTER_STEPS
  return train_once(grpo.train, config, workdir / f'{method}-{seed}') / 'model'


def train_reasoner(stage: str, count: int, seed: int, workdir: Path) -> Path:
  """The folder of the run of a reasoner's last stage."""
  base, backbone = train_base(workdir, seed), workdir / f'backbone-{seed}'
  method = 'sft' if stage.endswith('SFT') else 'rl'
  config: Config = running_sums.get_config(f'{base},{method},{backbone}')
  with config.unlocked():
    config.seed, config.max_steps = seed, RL_STEPS
    config.feedback.init_kwargs.latents = count
    if method == 'sft':
      config.data.sft_answers_dir = f'{sampled_answers(workdir, seed)}'
    if stage == 'SFT':
      config.max_steps = UPDATES
    else:
      sft_run = train_reasoner('SFT', count, seed, workdir)
      config.feedback.init_kwargs.source = f'{sft_run}/reasoner'
    if stage == 'SFT+SFT':
      config.rollout.prompts_per_step *= 8  # completions of a step of RL
    if 'shuffled' in stage:
      config.advantage.function = 'shuffled:group_relative'

  def train(config, run):
    if not backbone.exists():
      new_model(backbone, task.tokenizer(), BACKBONE, seed)
    lrt.train(config, run)

  return train_once(train, config, workdir / f'{file_of(stage)}-{count}-{seed}')


# -------------------------------------------------------------- measurements
def measured(
  base: Path, mode: str, folder: Path, reasoner: str = '', **labels: Any
) -> list[Row]:
  """The rows of a model in a mode, of a reasoner with its controls; at the
  lowest budget alone where there is no thinking."""
  config: Config = running_sums.get_config(f'{base},rl')
  with config.unlocked():
    config.eval.update(num_prompts=PROBLEMS, num_generations=SAMPLES)
    config.rollout.update(prompts_per_step=512, num_generations=SAMPLES)
    config.evaluate.modes = (mode,)
    if mode != 'chain_of_thought':
      config.evaluate.budgets = config.evaluate.budgets[:1]
    if reasoner:
      config.evaluate.update(base=False, reasoners=(f'reasoner={reasoner}',))
      config.evaluate.controls = 'other_problem', 'pause'
      if labels['latents'] != LATENTS:
        config.eval.num_generations = 1
  return with_forms(evaluate_once(config, folder, **labels), folder)


def with_forms(rows: list[Row], folder: Path) -> list[Row]:
  """The rows, with the share of worked answers and the accuracy of either
  form."""
  worked: dict[str, list[tuple[bool, float]]] = {}
  for sample in read_record(f'{folder}'):
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


def losses(run: Path) -> list[float]:
  """The loss, averaged over tenths of a run."""
  rows = read_rows(run, 'metrics')
  parts = np.array_split([row['loss'] for row in rows if 'loss' in row], 10)
  return [round(float(part.mean()), 4) for part in parts]


def file_of(stage: str) -> str:
  """A stage in the names of files."""
  return re.sub('[+, ]+', '-', stage.lower())
