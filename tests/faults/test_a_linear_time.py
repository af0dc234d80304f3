"""Twice the length of a hostile text takes twice the time, not four times."""

import time
from functools import partial

import pytest

from experiments.benchmarks.hostile_texts import REPEATED, repeated
from hybrid_latent.curricula.steps import split_solution, split_steps
from hybrid_latent.rewards import hrpo, hyrea, knowledge, lengths, math

LINEAR = {
  **{
    f'{kind} {parser}': partial(
      hrpo.correct, answer=['5'], kind=kind, parser=parser
    )
    for kind in ('number', 'letter', 'latex')
    for parser in ('official', 'fixed')
  },
  'math': partial(math.accuracy, answer=['5'], seconds=0.01),
  'knowledge': partial(knowledge.knowledge, answer=['5']),
  'format': partial(math.format, pattern=hyrea.FORMAT),
  'latent': hyrea.latent,
  'lc_r1': lambda texts: lengths.lc_r1(
    [f'5 {texts[0]}</think>5'],
    answer=['5'],
    completion_ids=[[0]],
    kind='number',
  ),
  'split_steps': lambda texts: split_steps(texts[0]),
  'worked': lambda texts: split_solution({'solution': f'{texts[0]}\na'}),
}
FAMILIES = REPEATED | {
  name: name
  for name in ('<<1=1>>', '$$', r'\frac{', '\\begin{a}\\begin{b}', '}', '1 ')
}


def cpu_seconds(judge, text):
  start = time.thread_time()
  judge([text])
  return time.thread_time() - start


def growth(judge, texts):
  half, whole = (min(cpu_seconds(judge, t) for _ in '123') for t in texts)
  return whole / half


@pytest.mark.parametrize('name', LINEAR)
def test_twice_the_length_takes_twice_the_time(name, now):
  """Below the clock's noise there is nothing to see: a quadratic judge needs
  more for these."""
  judge, n, slow = LINEAR[name], 6_000, {}
  for family, unit in FAMILIES.items():
    texts = [repeated(unit, length) for length in (n, 2 * n)]
    if cpu_seconds(judge, texts[1]) < 0.03:
      continue
    ratios = (growth(judge, texts) for _ in range(5))
    if all(ratio > 3 for ratio in ratios):  # not for the load of a moment
      slow[family] = 'more than three times'
  now('linear time', f'{name}: {len(FAMILIES)} families', slow or 'all linear')
  assert not slow
