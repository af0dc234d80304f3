r"""Whether latents carry a computation: Coconut and CODI on moves of a state.

    python -m experiments.studies.states [--workdir=runs/states] [--seeds=3] \
        [--part=I/N]

Claim 27 of the board. Each letter of a question is a fixed permutation of ten
states (hybrid_latent/data/states.py); 5 or 8 of them follow each other, or 5
ways of travelling between places, in words. A model of one layer, which has no
parallel way to the last state, learns to write the states (400 steps of 64
rows); then the arms (configs/states.py), at equal steps and rates:

  words    that model
  latents  Coconut: one more state in a latent per stage, until all are
  pause    pause tokens in their place
  dropped  nothing in their place
  codi     all states in latents at once, trained towards the model in words
  no_cot   the answers alone, from a new model, with the steps of both stages

With two layers the same is tried for five moves. Test problems are apart from
those of training. The trained latents are evaluated also with those of another
problem, with pause tokens in their place, and without. Chance is 0.1, and all
but one letter known scores at most 0.35.

Latents carry the computation where their content matters, fixed before the
runs: shown where with one layer, in each of the three tasks, accuracy with the
model's own latents exceeds each control (another problem's, pause tokens in
training, dropped) by more than 0.5, the lower end of the interval. Refuted
where for some number the interval of the gain over training with pause tokens
has 0, or another problem's latents leave more than half of the gain over
chance. Intervals are 95 %, over seeds and problems.
"""

from .parser import cells_parser

if __name__ == '__main__':  # before the imports: --help takes a second
  cells_parser('states', __doc__).parse_args()

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from hybrid_latent.data import states as task

from .. import sft
from ..configs import rl, states
from ..new_model import SMALL, new_model
from ..report.charts import Chart, Points
from ..report.figures import write_figures
from ..training.cli import Config
from .outcomes import difference, estimate, grades, shown
from .runs import evaluate_once, train_once
from .study import (
  Cell,
  MissingRowsError,
  Row,
  Study,
  Verdict,
  common,
  main,
  select,
)

PROBLEMS, CHANCE = 2048, 0.1
ENOUGH = 0.5  # gain over each control
MODEL = replace(
  SMALL, vocab=384, width=64, layers=1, heads=2, kv_heads=2, mlp=256
)
METHODS = {  # arm -> method of configs/states.py
  **{'words': 'words', 'latents': 'coconut', 'pause': 'pause'},
  **{'dropped': 'dropped', 'no_cot': 'no_cot', 'codi': 'codi'},
}
CONTROLS = 'other_problem', 'pause', 'dropped'
OF_EVALUATION = ('seed', 'model', 'lora', 'data', 'feedback', 'rewards',
                 'grader', 'eval')  # fmt: skip


class Setting(NamedTuple):
  """A task and a model."""

  moves: int
  layers: int
  form: Literal['text'] | None = None  # None: symbols

  @property
  def name(self) -> str:
    """On the board."""
    return f'{self.moves} moves{" as text" if self.form else ""}'

  def __str__(self) -> str:
    suffix = f'-{self.form}' if self.form else ''
    return f'{self.moves}moves-{self.layers}layers{suffix}'


ONE_LAYER = Setting(5, 1), Setting(8, 1), Setting(5, 1, 'text')
TWO_LAYERS = Setting(5, 2)


def cells(seeds: int) -> Iterator[Cell]:
  """All arms of a seed before the next one."""
  for seed in range(seeds):
    for setting in (*ONE_LAYER, TWO_LAYERS):
      for arm in METHODS:
        if setting != ONE_LAYER[0] and arm in ('no_cot', 'codi'):
          continue
        name = f'{arm}-{setting}-seed{seed}'
        yield Cell(name, partial(run_arm, arm, setting, seed))


def run_arm(arm: str, setting: Setting, seed: int, workdir: Path) -> list[Row]:
  """Trains an arm, and evaluates it with its controls."""
  run, config = trained(arm, setting, seed, workdir)
  evaluation = evaluation_of(config, f'{arm}={run}')
  if arm not in ('latents', 'codi'):
    evaluation.evaluate.controls = ()
  labels = setting._asdict() | {'arm': arm, 'seed': seed}
  return evaluate_once(evaluation.lock(), run / 'evaluation', **labels)


def trained(
  arm: str, setting: Setting, seed: int, workdir: Path
) -> tuple[Path, Config]:
  """The folder of the run of an arm, and its config."""
  if arm in ('words', 'no_cot'):
    source = new_start(setting, seed, workdir)
  else:
    source = trained('words', setting, seed, workdir)[0] / 'model'
  size = setting.form or 'whole'
  argument = f'{source},{METHODS.get(arm, arm)},{setting.moves},{size}'
  config: Config = states.get_config(argument)
  with config.unlocked():
    config.seed, config.eval.num_prompts = seed, 0
  run = train_once(sft.train, config, workdir / f'{arm}-{setting}-seed{seed}')
  return run, config


def new_start(setting: Setting, seed: int, workdir: Path) -> Path:
  """The folder of a new model."""
  start = workdir / f'start-{setting}-seed{seed}'
  if not start.exists():
    size = replace(MODEL, layers=setting.layers)
    new_model(start, task.tokenizer(states=10), size, seed)
  return start


def evaluation_of(config: Config, model: str) -> Config:
  """The config that evaluates a run of sft; unlocked."""
  config = config.copy_and_resolve_references().unlock()
  evaluation: Config = rl.defaults('')
  for part in OF_EVALUATION:
    evaluation[part] = config[part]
  del evaluation.data.step_entropy_dir
  evaluation.rollout.update(config.rollout)
  evaluation.eval.num_prompts = PROBLEMS
  evaluation.evaluate.update(base=False, models=(model,), controls=CONTROLS)
  return evaluation


# ------------------------------------------------------------------- results
# What latents could have done without: an arm, and a control of it.
AGAINST = {
  "another problem's latents": ('latents', 'other_problem'),
  'pause tokens in training': ('pause', ''),
  'states dropped in training': ('dropped', ''),
}
SERIES = {
  'own latents': ('latents', ''),
  **AGAINST,
  'states in words': ('words', ''),
}
Grades = Float[np.ndarray, 's u']


def accuracy(
  rows: Sequence[Row], setting: Setting, arm: str, control: str = ''
) -> Grades:
  """The grades of an arm, per seed and problem."""
  of_setting = setting._asdict()
  return grades(select(rows, **of_setting, arm=arm, control=control))


def compared(rows: Sequence[Row], setting: Setting) -> dict[str, Grades]:
  """Those of own latents and of AGAINST, of the seeds that all have."""
  found = {
    name: select(rows, **setting._asdict(), arm=arm, control=control)
    for name, (arm, control) in SERIES.items()
    if name in AGAINST or arm == 'latents'
  }
  return dict(zip(found, map(grades, common(*found.values())), strict=True))


def content_matters(rows: Sequence[Row]) -> Verdict:
  """Claim 27."""
  ours, controls, found = [], [], []
  for setting in settings_in(rows, ONE_LAYER):
    own, *others = (values := compared(rows, setting)).values()
    gains = {x: difference(own, values[x]) for x in AGAINST}
    swapped, *_ = (estimate(x).mean for x in others)
    seeds, problems = own.shape
    ours.append(f'{setting.name} {shown(estimate(own))} ({seeds} seeds)')
    means = (f'{x} {estimate(values[x]).mean:.3f}' for x in AGAINST)
    controls.append(f'{setting.name}: {", ".join(means)}')
    if (
      gains['pause tokens in training'].low <= 0
      or swapped - CHANCE > (own.mean() - CHANCE) / 2
    ):
      found.append('refuted')
    else:
      least = min(gain.low for gain in gains.values())
      found.append('shown' if least > ENOUGH else 'out of reach here')
  worst: Any = next(
    (x for x in ('refuted', 'out of reach here') if x in found), 'shown'
  )
  return Verdict(
    f'one layer, {"; ".join(ours)}; {problems} problems, chance {CHANCE}',
    '; '.join(controls),
    worst,
  )


def settings_in(
  rows: Sequence[Row], settings: Sequence[Setting]
) -> list[Setting]:
  """Those with a seed that all arms have. MissingRowsError without one."""
  found = []
  for setting in settings:
    with suppress(MissingRowsError):
      compared(rows, setting)
      found.append(setting)
  if not found:
    raise MissingRowsError('no setting has all arms')
  return found


def table(rows: Sequence[Row]) -> list[dict]:
  """A line per setting and arm, with the controls of its latents."""
  lines = []
  for setting in (*ONE_LAYER, TWO_LAYERS):
    for arm in METHODS:
      with suppress(MissingRowsError):
        found = accuracy(rows, setting, arm)
        line = {'task': setting.name, 'layers': setting.layers, 'arm': arm}
        line |= {'seeds': len(found), 'accuracy': shown(estimate(found))}
        lines.append(line | dict.fromkeys(CONTROLS, '–'))
        for control in CONTROLS:
          mean = estimate(accuracy(rows, setting, arm, control)).mean
          lines[-1][control] = f'{mean:.3f}'
  return lines


def figure(rows: Sequence[Row], folder: Path) -> None:
  """Own latents and what they could have done without, with one layer."""
  write_figures(folder, [chart(rows)])


def chart(rows: Sequence[Row]) -> Chart:
  """Accuracy by task, with intervals."""
  settings, series = settings_in(rows, ONE_LAYER), {}
  for i, (name, which) in enumerate(SERIES.items()):
    found = {}
    for place, setting in enumerate(settings):
      with suppress(MissingRowsError):
        found[place] = estimate(accuracy(rows, setting, *which))
    ends = (np.array([x[j] for x in found.values()]) for j in range(3))
    shift = 0.08 * (i - len(SERIES) // 2)  # coinciding dots stay visible
    series[name] = Points(np.array([*found]) + shift, *ends)
  return Chart(
    'states',
    'Moves of a state, one layer',
    f'accuracy · 95 % interval · chance {CHANCE}',
    series,
    kind='dots',
    x='',
    categories=[setting.name for setting in settings],
  )


STUDY = Study(
  name='states',
  about='Moves of a state: whether latents carry a computation, in one layer '
  'and in two.',
  core_minutes=45,
  cells=cells,
  verdicts={27: content_matters},
  table=table,
  figure=figure,
)


if __name__ == '__main__':
  main(STUDY, __doc__)
