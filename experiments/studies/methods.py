r"""The methods of 2025 and 2026, each beside its nearest relative.

    python -m experiments.studies.methods [--workdir=runs/methods] [--seeds=1] \
        [--part=I/N]

No claim is decided here: one run shows that a method runs whole, with the same
data, steps, completions and rates as its relative, and what it gives with
these, of one seed.

RL from a base that thinks in words before its answer (base `worked` of
hrpo_arms.py; 100 steps of 8 x 8 completions):

  GRPO, Soft Tokens         the relatives
  SofT-GRPO, Latent-GRPO    Gumbel noise on mixtures of likely tokens
  Multiplex Thinking        three tokens per step

Decoding of that base without training: words, Soft Thinking, SwiReasoning.

Supervised, on five moves of a state with one layer (states.py):

  Coconut, SIM-CoT          a decoder says each state from its latent

Supervised, on arithmetic word problems (sft_arithmetic.py): a new model, 400
steps of 32 solutions each, at equal rates:

  no CoT, CoT               the answers alone; solutions with their steps
  CODI                      three latents towards the solution's hidden states
  PCCoT, KaVa               by two parallel passes; towards its keys and values
  CoLaR                     two tokens of the steps per latent

SWITCH is an arm of hyrea.py. Latents of another problem are the control of all.
"""

from .parser import cells_parser

if __name__ == '__main__':  # before the imports: --help takes a second
  cells_parser('methods', __doc__, seeds=1).parse_args()

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from hybrid_latent.data.arithmetic import tokenizer

from .. import sft
from ..configs import sft_arithmetic
from ..new_model import new_model
from ..report.charts import Chart, Points
from ..report.figures import write_figures
from ..training.cli import Config
from . import states
from .hrpo_arms import Arm, config_of, evaluation_of, train_base
from .outcomes import estimate, grades, shown
from .runs import evaluate_once, train_once
from .study import Cell, MissingRowsError, Row, Study, main, select

REINFORCED = {
  'GRPO': 'grpo',
  'Soft Tokens': 'soft',
  'SofT-GRPO': 'soft_grpo',
  'Latent-GRPO': 'latent_grpo',
  'Multiplex Thinking': 'multiplex',
}
DECODED = {
  'words': 'grpo',
  'Soft Thinking': 'soft_thinking',
  'SwiReasoning': 'swireasoning',
}
SUPERVISED = {'Coconut': 'coconut', 'SIM-CoT': 'sim_cot'}
ARITHMETIC = {
  'no CoT': 'no_cot',
  'CoT': 'cot',
  'CODI': 'codi',
  'PCCoT': 'pccot',
  'KaVa': 'kava',
  'CoLaR': 'colar',
}
SETTING = states.ONE_LAYER[0]
CONTROLS = '', 'other_problem'
STEPS = 400  # of the methods on arithmetic


def cells(seeds: int) -> Iterator[Cell]:
  """Decoding, then one run per method."""
  for seed in range(seeds):
    for kind, arms, run in (
      ('decoding', DECODED, decoded),
      ('RL', REINFORCED, reinforced),
      ('supervised', SUPERVISED, supervised),
      ('arithmetic', ARITHMETIC, arithmetic),
    ):
      for name, method in arms.items():
        file = f'{kind}-{method}-{seed}'.lower()
        labels = {'arm': name, 'kind': kind, 'seed': seed}
        yield Cell(file, partial(run, method, labels))


def decoded(method: str, labels: Row, workdir: Path) -> list[Row]:
  """The rows of the base with a feedback."""
  arm, base = Arm(method, base='worked'), train_base('worked', workdir)
  config = config_of(arm, base, seed=0)
  return evaluate_once(
    evaluation_of(config), workdir / f'decoding-{method}', **labels
  )


def reinforced(method: str, labels: Row, workdir: Path) -> list[Row]:
  """The rows of the base after RL."""
  from .. import grpo

  arm, base = Arm(method, base='worked'), train_base('worked', workdir)
  config = config_of(arm, base, labels['seed'])
  run = train_once(grpo.train, config, workdir / f'rl-{method}')
  return evaluate_once(evaluation_of(config, run), run / 'eval', **labels)


def supervised(method: str, labels: Row, workdir: Path) -> list[Row]:
  """The rows of an arm of states.py."""
  run, config = states.trained(method, SETTING, labels['seed'], workdir)
  evaluation = states.evaluation_of(config, f'{method}={run}')
  return evaluate_once(evaluation.lock(), run / 'evaluation', **labels)


def arithmetic(method: str, labels: Row, workdir: Path) -> list[Row]:
  """The rows of a method of sft_arithmetic.py."""
  seed = labels['seed']
  start = workdir / f'arithmetic-start-{seed}'
  if not start.exists():
    new_model(start, tokenizer(), seed=seed)
  config: Config = sft_arithmetic.get_config(f'{start},{method}')
  with config.unlocked():
    config.seed, config.eval.num_prompts, config.max_steps = seed, 0, STEPS
    if config.packing:  # the others have these
      config.update(packing=False, batch_size=32, max_length=64)
    config.rollout.update(prompts_per_step=512, num_generations=1)
  run = train_once(sft.train, config, workdir / f'arithmetic-{method}-{seed}')
  evaluation = states.evaluation_of(config, f'{method}={run}')
  evaluation.evaluate.controls = ('other_problem',)
  return evaluate_once(evaluation.lock(), run / 'evaluation', **labels)


def table(rows: Sequence[Row]) -> list[dict]:
  """A line per method: accuracy, with the latents of another problem."""
  lines = []
  for kind, arm in dict.fromkeys((row['kind'], row['arm']) for row in rows):
    of = partial(select, rows, kind=kind, arm=arm)
    line = {'': kind, 'method': arm}
    controls = {row['control'] for row in of()}
    for control, name in (('', 'accuracy'), ('other_problem', 'other problem')):
      values = grades(of(control=control)) if control in controls else None
      line[name] = '–' if values is None else shown(estimate(values))
    line['tokens'] = round(
      float(np.mean([x['tokens'] for x in of(control='')])), 2
    )
    lines.append(line)
  return lines


def figure(rows: Sequence[Row], folder: Path) -> None:
  """Accuracy by method."""
  own = select(rows, control='')
  arms = list(dict.fromkeys((row['kind'], row['arm']) for row in own))
  series = {}
  for control in CONTROLS:
    found = {}
    for place, (kind, arm) in enumerate(arms):
      with suppress(MissingRowsError):
        some = select(rows, kind=kind, arm=arm, control=control)
        found[place] = estimate(grades(some))
    ends = (np.array([x[j] for x in found.values()]) for j in range(3))
    name = 'latents of another problem' if control else 'own'
    series[name] = Points(np.array([*found], float), *ends)
  chart = Chart(
    'methods',
    'Accuracy by method',
    'one seed · 95 % interval over problems',
    series,
    kind='dots',
    x='',
    categories=[arm for _, arm in arms],
  )
  write_figures(folder, [chart])


STUDY = Study(
  name='methods',
  about='Methods of 2025 and 2026 beside their nearest relatives, one run each',
  core_minutes=55,
  cells=cells,
  verdicts={},
  table=table,
  figure=figure,
  seeds=1,
)

if __name__ == '__main__':
  main(STUDY, __doc__)
