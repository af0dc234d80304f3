r"""Whether latents carry a computation: Coconut and CODI on moves of a state.

    python -m experiments.studies.states [--workdir=runs/states] [--seeds=3] \
        [--part=I/N]

Claim 27 of the board. Each letter of a question is a fixed permutation of ten
states (hybrid_latent/data/states.py), and 4, 5 or 8 of them follow each other.
A model of one layer, which has no parallel way to the last state, learns to
write the states (400 steps of 64 rows); then the arms (configs/states.py), at
equal steps and rates:

  words    that model
  latents  Coconut: one more state in a latent per stage, until all are
  pause    pause tokens in their place
  dropped  nothing in their place
  codi     all states in latents at once, trained towards the model in words
  no_cot   the answers alone, from a new model, with the steps of both stages

With two layers the same is tried for five moves. Test problems are apart from
those of training. The trained latents are evaluated also with those of another
problem, with pause tokens in their place, and without. Chance is 0.1, and all
but one letter known scores at most 0.27.

Latents carry the computation where their content matters, fixed before the
runs: shown where with one layer, for every number of moves, accuracy with the
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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hybrid_latent.data import states as task

from .. import sft
from ..configs import rl, states
from ..new_model import SMALL, new_model
from ..report.charts import Chart, Points
from ..report.figures import write_figures
from ..training.cli import Config
from .outcomes import difference, estimate, grades, shown
from .runs import evaluate_once, train_once
from .study import Cell, MissingRowsError, Row, Study, Verdict, main, select

PROBLEMS, CHANCE = 2048, 0.1
MODEL = replace(
  SMALL, vocab=320, width=64, heads=2, kv_heads=2, head_dim=32, mlp=256
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

  def __str__(self) -> str:
    return f'{self.moves}moves-{self.layers}layers'


ONE_LAYER = [Setting(moves, 1) for moves in (5, 4, 8)]
TWO_LAYERS = Setting(5, 2)


def cells(seeds: int) -> Iterator[Cell]:
  """All arms of a seed before the next one."""
  for seed in range(seeds):
    for setting in (*ONE_LAYER, TWO_LAYERS):
      for arm in METHODS:
        if setting is TWO_LAYERS and arm in ('no_cot', 'codi'):
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
  config = states.get_config(f'{source},{METHODS[arm]},{setting.moves}')
  with config.unlocked():
    config.seed, config.eval.num_prompts = seed, 0
  run = train_once(sft.train, config, workdir / f'{arm}-{setting}-seed{seed}')
  return run, config


def new_start(setting: Setting, seed: int, workdir: Path) -> Path:
  """The folder of a new model."""
  start = workdir / f'start-{setting.layers}layers-seed{seed}'
  if not start.exists():
    size = replace(MODEL, layers=setting.layers)
    new_model(start, task.tokenizer(states=10), size, seed)
  return start


def evaluation_of(config: Config, model: str) -> Config:
  """The config that evaluates a run of sft; unlocked."""
  config = config.copy_and_resolve_references().unlock()
  evaluation = rl.defaults('')
  for part in OF_EVALUATION:
    evaluation[part] = config[part]
  del evaluation.data.step_entropy_dir
  evaluation.rollout.update(config.rollout)
  evaluation.eval.num_prompts = PROBLEMS
  evaluation.evaluate.update(base=False, models=(model,), controls=CONTROLS)
  return evaluation


# ------------------------------------------------------------------- results
def accuracy(
  rows: Sequence[Row], setting: Setting, arm: str, control: str = ''
):
  """The grades of an arm [seeds, problems]."""
  return grades(select(rows, **setting._asdict(), arm=arm, control=control))


# What latents could have done without, per arm and control.
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


def content_matters(rows: Sequence[Row]) -> Verdict:
  """Claim 27."""
  ours, controls, found = [], [], []
  for setting in sorted(ONE_LAYER):
    own = accuracy(rows, setting, 'latents')
    others = {
      name: accuracy(rows, setting, *which) for name, which in AGAINST.items()
    }
    gains = {name: difference(own, other) for name, other in others.items()}
    ours.append(f'{setting.moves} moves {shown(estimate(own))}')
    controls.append(
      f'{setting.moves} moves: '
      + ', '.join(f'{k} {estimate(v).mean:.3f}' for k, v in others.items())
    )
    swapped = estimate(others["another problem's latents"]).mean
    no_gain = gains['pause tokens in training'].low <= 0
    if no_gain or swapped - CHANCE > (own.mean() - CHANCE) / 2:
      found.append('refuted')
    elif min(gain.low for gain in gains.values()) > 0.5:
      found.append('shown')
  seeds, problems = own.shape
  return Verdict(
    f'{"; ".join(ours)} ({seeds} seeds, {problems} problems, chance {CHANCE})',
    '; '.join(controls),
    'refuted'
    if 'refuted' in found
    else 'shown'
    if found == ['shown'] * len(ONE_LAYER)
    else 'out of reach here',
  )


def table(rows: Sequence[Row]) -> list[dict]:
  """A line per setting and arm, with the controls of its latents."""
  lines = []
  for setting in (*sorted(ONE_LAYER), TWO_LAYERS):
    for arm in METHODS:
      line = {'moves': setting.moves, 'layers': setting.layers, 'arm': arm}
      try:
        found = accuracy(rows, setting, arm)
      except MissingRowsError:
        continue
      line |= {'seeds': len(found), 'accuracy': shown(estimate(found))}
      for control in CONTROLS:
        try:
          value = estimate(accuracy(rows, setting, arm, control)).mean
          line[control.replace('_', ' ')] = f'{value:.3f}'
        except MissingRowsError:
          line[control.replace('_', ' ')] = '–'
      lines.append(line)
  return lines


def figure(rows: Sequence[Row], folder: Path) -> None:
  """Accuracy with one layer by number of moves."""
  write_figures(folder, [chart_of(rows)])


def chart_of(rows: Sequence[Row]) -> Chart:
  """Own latents and controls, by number of moves, with intervals."""
  settings = sorted(ONE_LAYER)
  series = {}
  for name, which in SERIES.items():
    found = [estimate(accuracy(rows, x, *which)) for x in settings]
    mean, low, high = zip(*(x[:3] for x in found), strict=True)
    series[name] = Points(range(len(settings)), mean, low, high)
  labels = [f'{setting.moves} moves' for setting in settings]
  note = 'one layer, chance 0.1'
  return Chart(
    'states', 'Accuracy', note, series, kind='dots', x='', categories=labels
  )


STUDY = Study(
  name='states',
  about='Moves of a state: whether latents carry a computation, in one layer '
  'and in two.',
  core_minutes=25,
  cells=cells,
  verdicts={27: content_matters},
  table=table,
  figure=figure,
)


if __name__ == '__main__':
  main(STUDY, __doc__)
