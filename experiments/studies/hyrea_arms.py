"""The trainings and measurements of the study of HyRea."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybrid_latent.data import dial as task
from hybrid_latent.measures.spans import (
  relative_positions,
  span_statistics,
  spans_of,
)

from .. import grpo, sft, step_entropy
from ..configs import dial
from ..evaluation.record import read_record
from ..export import export
from ..new_model import SMALL, new_model
from ..report.tables import read_rows
from ..training.cli import Config
from .runs import evaluate_once, train_once
from .study import Row

MODEL = replace(
  SMALL, width=64, layers=2, heads=2, kv_heads=2, head_dim=32, mlp=128
)
WIDE = replace(MODEL, width=128, heads=4, kv_heads=4, mlp=256)
PROBLEMS = 864  # of test, all
SAMPLES = 2  # per problem, where decoding is not greedy
UPDATES = 1500  # of a cold start
EARLY, RL_STEPS = 600, 150  # updates before RL, and its steps
MORE = EARLY + RL_STEPS
ENOUGH = 0.7  # accuracy of the base
_FIRST = {f' {word}' for word in task.FIRST_WORDS}
MOST_SPANS = 6  # of a completion: all its steps
CONTROLS = ('other_problem', 'pause', 'dropped')


# --------------------------------------------------------------------- cells
def cold_start(
  arm: str, seed: int, c: int, weight: float, workdir: Path
) -> list[Row]:
  """The rows of an arm after EARLY updates, and after all of them."""
  run = train_cold_start(arm, seed, c, weight, workdir)
  labels = dict(arm=arm, seed=seed, c=c, weight=weight, curve=curve(run))
  latent = 'grpo_words' if arm in ('drop', 'none') else 'grpo'
  return [
    row
    for step in (EARLY, UPDATES)
    for row in measured(
      f'{run}@{step}', latent, workdir, updates=step, **labels
    )
  ]


def rl(name: str, seed: int, workdir: Path) -> list[Row]:
  """RL from an early model of a cold start, and as many more updates of it:
  `grpo`, `switch`, and `grpo_drop` of steps that are gone."""
  arm = 'drop' if name == 'grpo_drop' else 'entropy'
  run = train_cold_start(arm, seed, 1, 4.0, workdir)
  start = exported(run, EARLY, workdir / f'{run.name}-{EARLY}')
  method = 'grpo_words' if arm == 'drop' else name
  config: Config = dial.get_config(f'{start},{method}')
  with config.unlocked():
    config.seed, config.max_steps = seed, RL_STEPS
    config.eval.every = max(RL_STEPS // 3, 1)
  after = train_once(grpo.train, config, workdir / f'{method}-{run.name}')
  labels = dict(seed=seed, c=1, weight=4.0)
  rows = measured(
    f'{after}@{RL_STEPS}', method, workdir, arm=name, updates=EARLY,
    curve=curve(after), **labels,
  )  # fmt: skip
  if name == 'switch':
    return rows
  return rows + measured(
    f'{run}@{MORE}', method, workdir, arm=arm, updates=MORE, **labels
  )


def untrained(seed: int, workdir: Path) -> list[Row]:
  """The base, and Soft Thinking with it."""
  base, labels = base_of(workdir, seed), dict[str, Any](seed=seed, updates=0)
  config: Config = dial.get_config(f'{base},soft_thinking')
  return [
    *measured(f'{base}', 'grpo_words', workdir, arm='base',
              entropies=step_entropies(workdir, seed), **labels),
    *evaluated(config, f'{base}', workdir / f'{base.parent.name}-soft',
               ('dropped',), arm='soft_thinking', **labels),
  ]  # fmt: skip


def wide(
  cell: Callable[[Path], list[Row]], seed: int, workdir: Path
) -> list[Row]:
  """The rows of a cell, all of whose models have twice the width."""
  folder = workdir / 'wide'
  random_weights(folder, seed, WIDE)
  return [row | {'width': WIDE.width} for row in cell(folder)]


# ----------------------------------------------------------------- trainings
def train_words(workdir: Path, seed: int) -> Path:
  """A run on solutions in words, from random weights."""
  start = random_weights(workdir, seed)
  config: Config = dial.get_config(f'{start},words')
  with config.unlocked():
    scale_rate(config, start)
    config.seed = seed
    config.eval.every = config.checkpoint.every = 50
    config.checkpoint.keep = UPDATES
  return train_once(sft.train, config, workdir / f'words-seed{seed}')


def random_weights(workdir: Path, seed: int, size: Any = MODEL) -> Path:
  """The folder of the model that all of a seed begin with."""
  folder = workdir / f'start-seed{seed}'
  to = folder / 'model'
  make = lambda *_: new_model(to, task.tokenizer(), size, seed)
  train_once(make, None, folder)
  return to


def scale_rate(config: Config, model: Path) -> None:
  """The learning rate of a model of another width than `MODEL`."""
  width = json.loads((model / 'config.json').read_text())['hidden_size']
  config.optimizer.groups.model.lr *= (MODEL.width / width) ** 0.5


def base_of(workdir: Path, seed: int) -> Path:
  """The folder of the first checkpoint in words that is good enough."""
  run = train_words(workdir, seed)
  reached = (step for step, accuracy, *_ in curve(run) if accuracy >= ENOUGH)
  step = int(next(reached, curve(run)[-1][0]))
  return exported(run, step, workdir / f'base-seed{seed}')


def exported(run: Path, step: int, folder: Path) -> Path:
  """The model of a checkpoint, in a folder of its own."""
  to = folder / 'model'
  train_once(lambda *_: export(f'{run}', f'{step}', to), None, folder)
  return to


def train_cold_start(
  arm: str, seed: int, c: int, weight: float, workdir: Path
) -> Path:
  """A run from the base, with checkpoints at EARLY, MORE and UPDATES."""
  base, run = base_of(workdir, seed), f'{arm}-c{c}-w{weight:g}-seed{seed}'
  config: Config = dial.get_config(f'{base},{arm}')
  with config.unlocked():
    scale_rate(config, base)
    config.seed, config.eval.every = seed, 300
    config.max_steps = UPDATES
    config.checkpoint.update(every=RL_STEPS, keep=UPDATES)
    if arm != 'coconut':
      config.curriculum.kwargs.switch_weight = weight
      config.data.step_entropy_dir = f'{annotated(workdir, seed)}'
    if c > 1:
      config.curriculum.kwargs.num_latents = c
      config.feedback.init_kwargs.num_latents = c
      # A span of c + 2 tokens is in place of five; a solution has up to four.
      config.max_length += max(4 * (c - 3), 0)
      config.rollout.max_completion_length += MOST_SPANS * (c - 1)
  return train_once(sft.train, config, workdir / run)


def annotated(workdir: Path, seed: int) -> Path:
  """The folder of the training rows with the base's entropies."""
  config: Config = dial.get_config(f'{base_of(workdir, seed)},entropy')
  folder = workdir / f'entropies-seed{seed}'
  return train_once(step_entropy.annotate, config, folder)


# -------------------------------------------------------------- measurements
def curve(run: Path) -> list[list[float]]:
  """[step, accuracy, tokens with marks, spans] of the evaluations of a run."""
  names = 'eval/accuracy', 'eval/completions/mean_length', 'eval/switches'
  rows = [row for row in read_rows(run, 'metrics') if names[0] in row]
  return [[row['step'], *(round(row[x], 4) for x in names)] for row in rows]


def step_entropies(workdir: Path, seed: int) -> dict[str, float]:
  """The base's mean entropy of each kind of step, in nats per token."""
  lines = (annotated(workdir, seed) / 'steps.jsonl').read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  kinds = len(task.KINDS)
  means = [
    sum(sum(row['entropies'][i::kinds]) for row in rows)
    / sum(len(row['entropies'][i::kinds]) for row in rows)
    for i in range(kinds)
  ]
  return dict(zip(task.KINDS, means, strict=True))


def measured(
  model: str, method: str, workdir: Path, **labels: Any
) -> list[Row]:
  """The rows of a model, greedy and sampled; `method` is of dial.get_config."""
  config: Config = dial.get_config(f'{workdir},{method}')
  more = labels.get('c', 1) - 1  # latents per span
  with config.unlocked():
    config.rollout.max_completion_length += MOST_SPANS * more
  path = Path(model)  # WORKDIR@STEP, or FOLDER/model
  name = path.parent.name if path.name == 'model' else path.name
  folder = workdir / f'{name}-{labels["updates"]}-evaluation'
  controls = () if method == 'grpo_words' else CONTROLS
  return [
    *evaluated(config, model, folder / 'greedy', controls, **labels),
    *evaluated(config, model, folder / 'sample', (), False, **labels),
  ]


def evaluated(
  config: Config,
  model: str,
  folder: Path,
  controls: tuple[str, ...],
  greedy: bool = True,
  **labels: Any,
) -> list[Row]:
  """The rows of a model with the controls; those without control have the
  statistics of their spans."""
  with config.unlocked():
    config.eval.num_prompts = PROBLEMS
    config.eval.num_generations = 1 if greedy else SAMPLES
    config.eval.sampling.greedy = greedy
    config.rollout.update(prompts_per_step=512, num_generations=1)
    config.evaluate.update(
      base=False, models=(f'model={model}',), controls=controls
    )
  rows = evaluate_once(config, folder, **labels)
  samples = [x for x in read_record(f'{folder}') if not x['control']]
  spans: dict[str, Any] = {
    name: round(x, 4) for name, x in span_statistics(samples).items() if x == x
  }
  spans['positions'] = [round(x, 3) for x in relative_positions(samples)]
  for row in rows:
    if not row['control']:
      row |= {'spans': spans, 'replaced': replaced(samples)}
  return rows


def replaced(samples: list) -> dict[str, float]:
  """Spans per completion in place of each kind of step, over the completions
  with as many steps as a solution has, spans included."""
  counts, kept = [0] * len(task.KINDS), 0
  for sample in samples:
    steps = steps_of(sample)
    if len(steps) % len(task.KINDS) == 0:
      kept += 1
      for i, is_span in enumerate(steps):
        counts[i % len(task.KINDS)] += is_span
  shares = [round(count / max(kept, 1), 4) for count in counts]
  return dict(zip(task.KINDS, shares, strict=True)) | {'completions': kept}


def steps_of(sample: Any) -> list[bool]:
  """Whether each step of a completion is a span."""
  words = [i for i, x in enumerate(sample['tokens']) if x in _FIRST]
  starts = [start for start, _ in spans_of(sample)]
  steps = [*((i, False) for i in words), *((i, True) for i in starts)]
  return [is_span for _, is_span in sorted(steps)]
