"""Grades adversarial completions by every reward: one table.

    python -m experiments.benchmarks.grading --out=grading.json
    python -m experiments.benchmarks.grading --groups=100

Every reward that grades answers (grader) grades every family of adversarial
texts in the processes that training and evaluation use, one text at a time. No
text has the gold answer, so all are wrong; the last family is correct. Ungraded
texts took more than the CPU time limit of the grader, or their process was
killed.

--groups measures the speed of math-verify instead: the completions per second
that two workers grade, eight per gold answer.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hybrid_latent.ranges import PositiveInt
from hybrid_latent.rewards.grader import Grader

from .. import PACKAGE
from ..training import cli
from .hostile_texts import REPEATED, SMALL, repeated
from .peer_steps import peak_mib
from .records import report

GOLD = '1729'
CORRECT = rf'<think>19 * 91</think> \boxed{{{GOLD}}} #### {GOLD}'
# math-verify compares equations and sets in other ways than numbers.
FORMULAS = (r'\frac{x^2}{16} - \frac{y^2}{9} = 1', r'(-\infty, 2) \cup [3, 4)')

# Gold answers of MATH's forms, with an integer in place of the %.
FORMS = (
  *(r'\frac{%\sqrt{3}}{7}', 'x^2 + %x + 1', r'\left(%, \frac{\pi}{3}\right)'),
  *('%', r'[%, \infty)', r'%^\circ', '% - 5i', r'\{1, %\}'),
)

_REWARDS = 'hybrid_latent.rewards'
GRADERS = {
  'math': ('math:accuracy', {}),
  'soft_tokens': ('soft_tokens:soft_tokens', {'right': 1.0, 'boxed': 0.0}),
  'soft_tokens ####': (
    'soft_tokens:soft_tokens',
    {'right': 1.0, 'boxed': 0.0, 'marker': '####'},
  ),
  'gsm8k official': ('hrpo:gsm8k', {}),
  'gsm8k fixed': ('hrpo:gsm8k', {'parser': 'fixed'}),
  'boxed_math official': ('hrpo:boxed_math', {}),
  'boxed_math fixed': ('hrpo:boxed_math', {'parser': 'fixed'}),
  'exact': ('answers:exact', {}),
  'knowledge': ('knowledge:knowledge', {}),
  'shorter_better': ('lengths:shorter_better', {'alpha': 1.0, 'beta': 0.0}),
}


def main(argv: Sequence[str] | None = None) -> None:
  """Prints the table, and writes its rows as JSON."""
  flags = _flags(argv)
  unknown = sorted(set(flags.graders) - set(GRADERS))
  if unknown:
    sys.exit(f'error: --graders={unknown[0]}: accepted are {sorted(GRADERS)}')
  if flags.groups:
    # Imported late: the workers have no use for jax.
    about = importlib.import_module(f'{PACKAGE}.benchmarks.timing').about
    rate = completions_per_second(flags.groups)
    row = {'groups': flags.groups, 'completions/s': rate}
    report(flags, 'benchmarks.grading', [row], about())
    return
  texts = families(flags.lengths)
  rows = [grade_families(name, texts) for name in flags.graders]
  print(table(rows))
  if flags.out:
    flags.out.write_text(json.dumps(rows, indent=2) + '\n')


def completions_per_second(groups: int, workers: int = 2) -> float:
  """The speed of math:accuracy where each group of eight has a gold answer of
  its own and four different answers, half of them without a box."""
  golds = [
    FORMS[i % len(FORMS)].replace('%', f'{i + 2}') for i in range(groups + 2)
  ]
  texts = [
    rf'We obtain $a_{i} = {i}$. {form % golds[i + wrong]}'
    for i in range(groups)
    for wrong in (0, 0, 1, 2)
    for form in (r'So it is \boxed{%s}', r'Thus it equals $%s$')
  ]
  columns = {'answer': [gold for gold in golds[:groups] for _ in range(8)]}
  rewards = {'math': {'function': f'{_REWARDS}.math:accuracy'}}
  with Grader(rewards, workers=workers, timeout_s=60.0) as grader:
    # The first group of a worker builds the tables of math-verify's grammar.
    grader.submit(['1'] * workers, {'answer': ['x'] * workers}, 1).result()
    start = time.perf_counter()
    grader.submit(texts, columns, 8).result()
    return len(texts) / (time.perf_counter() - start)


def families(lengths: Sequence[int]) -> dict[str, list[str]]:
  """The texts of each family, bare, in a box, in dollars and after ####."""
  plain = {name: [text] for name, text in SMALL.items()} | {
    name: [repeated(unit, n) for n in lengths]
    for name, unit in REPEATED.items()
  }
  return {
    name: [
      form
      for text in some
      for form in (text, rf'\boxed{{{text}}}', f'${text}$', f'#### {text}')
    ]
    for name, some in plain.items()
  }


def grade_families(grader: str, texts: Mapping[str, Sequence[str]]) -> dict:
  """The row of a grader."""
  function, kwargs = GRADERS[grader]
  rewards = {
    'grader': {'function': f'{_REWARDS}.{function}', 'kwargs': kwargs},
    'peak': {'function': f'{PACKAGE}.benchmarks.grading:peak_memory'},
  }
  row = {
    'grader': grader,
    'tried': 0,
    'right': 0,
    'ungraded': 0,
    'slowest': 0.0,
  }
  row |= {'slowest_family': '', 'peak': 0.0, 'ungraded_families': []}
  golds = (
    (GOLD, *FORMULAS) if grader in ('math', 'boxed_math fixed') else (GOLD,)
  )
  with Grader(rewards, workers=1, timeout_s=30.0) as workers:
    for name, some in [*texts.items(), ('right', [CORRECT])]:
      for text in some:
        for gold in golds if name != 'right' else (GOLD,):
          _add(
            row, name, _grade_one(workers, text, gold), float(name == 'right')
          )
  return row


def _grade_one(
  grader: Grader, text: str, gold: str
) -> tuple[float, float, float]:
  columns = {'answer': [gold], 'completion_ids': [[0]]}
  start = time.perf_counter()
  results = grader.submit([text], columns, group=1).result()
  seconds = time.perf_counter() - start
  return float(results['grader'][0]), float(results['peak'][0]), seconds


def _add(
  row: dict, name: str, grade: tuple[float, float, float], expected: float
) -> None:
  reward, peak, seconds = grade
  row['tried'] += 1
  row['right'] += reward == expected
  row['peak'] = max(row['peak'], np.nan_to_num(peak))
  if np.isnan(reward):
    row['ungraded'] += 1
    if name not in row['ungraded_families']:
      row['ungraded_families'].append(name)
  if seconds > row['slowest']:
    row |= {'slowest': seconds, 'slowest_family': name}


def table(rows: Sequence[Mapping]) -> str:
  """The table in Markdown."""
  lines = [
    '| grader | tried | right | ungraded | slowest, s | peak, MiB |',
    '| --- | --- | --- | --- | --- | --- |',
  ]
  for row in rows:
    ungraded = ', '.join(row['ungraded_families'])
    lines.append(
      f'| {row["grader"]} | {row["tried"]} | {row["right"]} | '
      f'{row["ungraded"]}{f" ({ungraded})" if ungraded else ""} | '
      f'{row["slowest"]:.2f} ({row["slowest_family"]}) | {row["peak"]:.0f} |'
    )
  return '\n'.join(lines)


def peak_memory(completions: Sequence[str], **_) -> list[float]:
  """A reward that returns the peak memory of its process, in MiB."""
  return [peak_mib()] * len(completions)


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = cli.Parser('benchmarks.grading', __doc__)
  parser.add_argument(
    '--graders',
    nargs='+',
    default=list(GRADERS),
    help='names of graders',
  )
  parser.add_argument(
    '--lengths',
    nargs='+',
    type=cli.value(PositiveInt),
    default=[30, 300, 900, 30_000],
    help='characters of the repeated texts',
  )
  parser.add_argument(
    '--groups',
    type=cli.value(PositiveInt),
    help='measure the speed on this number of groups instead',
  )
  about = 'also write JSON here; with --groups append the table'
  parser.add_argument('--out', type=Path, help=about)
  return parser.parse_args(argv)


if __name__ == '__main__':
  main()
