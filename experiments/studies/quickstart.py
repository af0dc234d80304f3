r"""A computation in latents, then GRPO and HRPO, in five minutes.

    python -m experiments.studies.quickstart \
        [--workdir=runs/quickstart] [--minutes=5]

First a model of one layer learns to follow five moves of a state in words, then
in latents (Coconut), and is evaluated with its own latents, with those of
another problem, and without. Then a small Qwen3 model learns the format of
arithmetic word problems (SFT), and is trained from there with GRPO and with
HRPO: same data, steps and completions, as many seeds as the minutes allow.
"""

from hybrid_latent.ranges import PositiveFloat

from ..training import cli
from .parser import study_parser


def _parser() -> cli.Parser:
  parser = study_parser('quickstart', __doc__)
  parser.add_argument(
    '--minutes', type=cli.value(PositiveFloat), default=5.0, help='time limit'
  )
  parser.set_defaults(seeds=2)  # at most
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import math
import shlex
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from absl import logging

from hybrid_latent.data import arithmetic
from hybrid_latent.data import states as moves

from .. import PACKAGE, grpo, sft
from ..configs import rl_arithmetic, sft_arithmetic, states
from ..evaluate import evaluate
from ..new_model import new_model
from ..report.charts import Chart, Points
from ..report.figures import write_picture
from ..report.page import curves_png, html_report
from ..training.cli import Config
from ..training.compilation_cache import keep_compiled
from .states import MODEL, evaluation_of

LATENTS = {  # control -> its name
  '': 'own',
  'other_problem': "another's",
  'pause': 'pause',
  'dropped': 'none: words',
}
PROBLEMS = 1024  # of moves
METHODS = ('grpo', 'hrpo')


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  logging.set_verbosity(logging.WARNING)
  began, workdir = time.monotonic(), Path(flags.workdir)
  keep_compiled()

  for old in ('latents', 'start', 'sft', 'grpo-*', 'hrpo-*'):
    for folder in workdir.glob(old):
      shutil.rmtree(folder)
  print('1. Five moves of a state, in words, then in latents', flush=True)
  controls = train_latents(workdir / 'latents')
  print('2. Supervised fine-tuning of a new model', flush=True)
  start = new_model(workdir / 'start', arithmetic.tokenizer())
  sft.train(sft_arithmetic.get_config(str(start)), str(workdir / 'sft'))
  warm = str(workdir / 'sft' / 'model')
  runs, rows = {}, []
  for seed in range(flags.seeds):
    round_began = time.monotonic()
    for method in METHODS:
      name = f'{method}, seed {seed}'
      print(f'{len(runs) + 3}. {name}', flush=True)
      runs[name] = workdir / f'{method}-{seed}'
      before, after = train(warm, method, seed, runs[name])
      rows.append({'method': method, 'seed': seed, 'before': before,
                   'after': after})  # fmt: skip
    # Another seed, where it takes as long as this one, with 10 s for the
    # report.
    now = time.monotonic()
    spent, next_round = now - began, now - round_began
    if spent + 1.1 * next_round > 60 * flags.minutes - 10:
      break

  table, chart = summary_table(rows), controls_chart(controls)
  found = controls_text(controls)
  verdict = conclusion(rows, time.monotonic() - began)
  write_picture(workdir / 'latents.png', [chart])
  curves_png(workdir / 'curves.png', runs)
  html_report(
    workdir / 'report.html',
    title='Quickstart: a computation in latents; GRPO and HRPO',
    intro=f'{found}\n\n{verdict}',
    pictures=[chart],
    table=table,
    runs=runs,
  )
  print('\n' + text_table(controls_table(controls)))
  print(f'\n{found}\n\n{text_table(table)}')
  print('\n' + verdict)
  model = shlex.quote(f'{warm},grpo')
  print(
    f'\nPictures: {workdir / "latents.png"}, {workdir / "curves.png"}\n'
    f'Report, for a browser: {(workdir / "report.html").resolve().as_uri()}\n'
    'Next, any method from the same start:\n'
    f'  {shlex.quote(sys.executable)} -m {PACKAGE}.grpo --workdir=runs/mine '
    f'--config=rl_arithmetic:{model}'
  )


def train_latents(workdir: Path) -> list[dict]:
  """Trains a model on five moves; the rows of its evaluation, one per control
  of its latents."""
  source = new_model(workdir / 'start', moves.tokenizer(states=10), MODEL)
  for method in 'words', 'coconut':
    config: Config = states.get_config(f'{source},{method},small')
    with config.unlocked():
      config.eval.num_prompts = 0
    sft.train(config, str(workdir / method))
    source = workdir / method / 'model'
  evaluation = evaluation_of(config, f'latents={workdir / "coconut"}')
  evaluation.eval.num_prompts = PROBLEMS
  return evaluate(evaluation.lock(), str(workdir / 'evaluation'))


def controls_table(rows: list[dict]) -> list[dict]:
  """One line per control."""
  fields = 'accuracy', 'low', 'high', 'tokens'
  return [
    {'latents': LATENTS[row['control']]} | {name: row[name] for name in fields}
    for row in rows
  ]


def controls_text(rows: list[dict]) -> str:
  """What the controls say."""
  own, other, pause, dropped = (row['accuracy'] for row in rows)
  return (
    f'Five moves in latents: accuracy {own:.3f}, with the latents of another '
    f'problem {other:.3f}, with pause tokens in their place {pause:.3f}. '
    'Without them the model writes the states in words, as it first learned: '
    f'{dropped:.3f}. A guess is right for one problem in ten.'
  )


def controls_chart(rows: list[dict]) -> Chart:
  """Accuracy per control."""
  places = np.arange(len(rows))
  ends = ([row[name] for row in rows] for name in ('accuracy', 'low', 'high'))
  points = Points(places, *map(np.array, ends))
  return Chart(
    'latents',
    'Five moves in latents',
    'accuracy, 95 % interval · a guess: 0.1',
    {'accuracy': points},
    kind='dots',
    x='',
    categories=[LATENTS[row['control']] for row in rows],
  )


def train(warm: str, method: str, seed: int, workdir: Path) -> tuple:
  """One run from the warm start; its first and its last evaluation."""
  config: Config = rl_arithmetic.get_config(f'{warm},{method}').unlock()
  # Before and after: one in the middle would take seconds that five minutes
  # lack.
  config.seed, config.eval.every = seed, config.max_steps
  evaluations = grpo.train(config.lock(), str(workdir))
  return evaluations[0], evaluations[-1]


def summary_table(rows: list[dict]) -> list[dict]:
  """One line per run: its evaluations before and after training."""
  pick = lambda row, when, name: row[when][f'eval/{name}']
  return [
    {
      'run': f'{row["method"].upper()}, seed {row["seed"]}',
      'accuracy before': pick(row, 'before', 'accuracy'),
      'after': pick(row, 'after', 'accuracy'),
      'tokens before': pick(row, 'before', 'completions/mean_length'),
      'tokens after': pick(row, 'after', 'completions/mean_length'),
      'hidden ratio before': pick(row, 'before', 'hidden_ratio'),
      'hidden ratio after': pick(row, 'after', 'hidden_ratio'),
    }
    for row in rows
  ]


def conclusion(rows: list[dict], seconds: float) -> str:
  """The change of accuracy per method, with its standard error."""
  config: Config = rl_arithmetic.get_config('x,grpo')
  count = config.eval.num_prompts
  lines = []
  for method in METHODS:
    mine = [row for row in rows if row['method'] == method]
    old, new = (
      np.array([row[when]['eval/accuracy'] for row in mine])
      for when in ('before', 'after')
    )
    # Two binomial proportions over the same test problems, treated as
    # independent: an upper bound of the error of their difference.
    error = math.sqrt(np.sum(old * (1 - old) + new * (1 - new)) / count) / len(
      mine
    )
    gain = float(np.mean(new - old))
    verdict = 'beyond' if gain > 2 * error else 'within'
    lines.append(
      f'{method.upper()}: accuracy {old.mean():.3f} -> {new.mean():.3f}, a '
      f'change of {gain:+.3f} with a standard error of {error:.3f} over '
      f'{len(mine)} seed(s) and {count} test problems: {verdict} two errors.'
    )
  return '\n'.join([*lines, f'{seconds:.0f} s in all.'])


def text_table(table: list[dict]) -> str:
  """The table in columns of text."""
  show = lambda x: f'{x:.3f}' if isinstance(x, float) else str(x)
  cells = [list(table[0]), *([show(x) for x in row.values()] for row in table)]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  return '\n'.join(
    '  '.join(x.rjust(w) for x, w in zip(row, widths, strict=True))
    for row in cells
  )


if __name__ == '__main__':
  main()
