r"""Grades depend on the texts alone: each judge finds a gold answer right, in
every notation and form that it claims, whatever ran before."""

import json
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from hybrid_latent.data.tasks import TASKS, problem
from hybrid_latent.rewards import (
  answers,
  hrpo,
  knowledge,
  math,
  soft_tokens,
)
from hybrid_latent.rewards.grader import Grader

DATA = Path(os.environ.get('HYBRID_LATENT_DATA', '../shared/data'))
NUMBERS = ('gsm8k', 'amc23', 'mawps')
LETTERS = ('mmlu_stem', 'lsat_ar', 'lsat_lr', 'lsat_rc')
FORMULAS = ('math500', 'math_agieval', 'minerva_math', 'olympiadbench')
BOX = '\\boxed{%s}'

# What HRPO's release cannot read, which parser='official' reproduces: an
# escaped dollar ends a span in dollars; so do dollars within the answer.
OFFICIAL_IN_DOLLARS = {
  'math500': {r'\$32,\!348', r'\$18.90', r'\$36'},
  'math_agieval': {
    *(r'\$6', r'\$2.50', r'\$7.50', r'\$15.48', r'\$4', r'\$20', r'\$ 10'),
  },
  'minerva_math': {
    r'x_{0} \cos (\omega t)+$ $\dot{x}_{0} \sin (\omega t) / \omega'
  },
  'olympiadbench': {r'$(-\infty, 0) \cup\{1\}$.'},
}


def golds_of(name):
  folder = DATA / (name.split('_')[0] if name.startswith('lsat') else name)
  if not folder.is_dir():
    pytest.skip(f'no {folder} here: set HYBRID_LATENT_DATA to its parent')
  found = {}
  for file in TASKS[name].splits.values():
    text = (folder / file).read_text()
    lines = text.splitlines()
    rows = (
      json.loads(text) if file.endswith('.json') else map(json.loads, lines)
    )
    found |= {problem(TASKS[name], row)['answer']: None for row in rows}
  return list(found)


def wrong(judge, golds, form, **kwargs):
  texts = [form % gold if '%' in form else form for gold in golds]
  rewards = judge(texts, answer=golds, **kwargs)
  return {g for g, r in zip(golds, rewards, strict=True) if r not in (1, 100)}


def check(now, name, judged, exceptions=MappingProxyType({})):
  found = {what: broken for what, broken in judged.items() if broken}
  now('gold against gold', f'{name}: {", ".join(judged)}', found or 'all right')
  assert found == {k: rows for k, rows in exceptions.items() if rows}


@pytest.mark.parametrize('name', NUMBERS)
def test_numbers_are_right(name, now):
  golds = golds_of(name)
  judged = {
    f'{kind} {parser} {form}': wrong(
      hrpo.correct, golds, form, kind=kind, parser=parser
    )
    for kind in ('number', 'latex')
    for parser in ('official', 'fixed')
    for form in (BOX, '#### %s')
    # "Without \boxed or dollars only the last number counts", to the comma.
    if (kind, parser, form) != ('latex', 'official', '#### %s')
  }
  judged['exact'] = wrong(answers.exact, golds, '#### %s')
  judged['knowledge'] = wrong(knowledge.knowledge, golds, '#### %s')
  check(now, name, judged)


@pytest.mark.parametrize('name', [*LETTERS, 'prosqa'])
def test_letters_and_texts_are_right(name, now):
  golds = golds_of(name)
  judged = {'exact': wrong(answers.exact, golds, '#### %s')}
  if name in LETTERS:
    for parser in ('official', 'fixed'):
      judge = partial(hrpo.correct, kind='letter', parser=parser)
      for form in (BOX, '#### %s', '#### (%s)', '**%s**', '%s.'):
        judged[f'choice {parser} {form}'] = wrong(judge, golds, form)
  else:
    judged['knowledge'] = wrong(knowledge.knowledge, golds, '#### %s')
  check(now, name, judged)


@pytest.mark.parametrize('name', FORMULAS)
def test_formulas_are_spelled_as_themselves(name, now):
  golds = golds_of(name)
  judged = {
    f'latex {parser} {form}': wrong(
      hrpo.correct, golds, form, kind='latex', parser=parser
    )
    for parser, form in [
      *(('fixed', form) for form in ('#### %s', '#### ' + BOX, '#### $%s$')),
      *(('official', form) for form in (BOX, '$%s$')),
    ]
  }
  judged['exact'] = wrong(answers.exact, golds, '#### %s')
  check(now, name, judged, {'latex official $%s$': OFFICIAL_IN_DOLLARS[name]})


def values_are_right(name, golds, now):
  judged = {
    'math ' + form: wrong(math.accuracy, golds, form)
    for form in (BOX, '$%s$', r'so \boxed{\,%s}')
  }
  for marker, form in ((BOX[:6], BOX), ('####', '#### %s')):
    judge = partial(soft_tokens.soft_tokens, marker=marker)
    judged[f'soft_tokens {form}'] = wrong(judge, golds, form)
  exceptions = {}
  if name == 'olympiadbench':  # words, and a dollar too many
    exceptions = {r'math so \boxed{\,%s}': UNREAD & set(golds)}
  check(now, name, judged, exceptions)


@pytest.mark.parametrize('name', FORMULAS)
def test_values_of_some_formulas_are_right(name, now):
  values_are_right(name, golds_of(name)[::20], now)


@pytest.mark.slow  # 20 ms for each of 3,000 gold answers
@pytest.mark.parametrize('name', [*FORMULAS, *NUMBERS])
def test_values_of_all_golds_are_right(name, now):
  values_are_right(name, golds_of(name), now)


UNREAD = {
  r'$f(x)=a x+b$, where $b$ is an arbitrary integer, and $a$ is an arbitrary '
  r'positive integer with $\mho(a)=0$',
  '$221,$8$',
}


def test_what_is_too_large_is_wrong_and_what_takes_too_long_not_judged(now):
  large = ['1' * 1001, '(' * 9 + '1' + ')' * 9, '2^{10^{5}}', '9!!!', '9' * 101]
  texts = [rf'\boxed{{{text}}}' for text in large]
  assert math.accuracy(texts, answer=['14'] * 5) == [0] * 5
  # In a process of its own: a test's may swallow what a signal raises.
  function = {'function': 'hybrid_latent.rewards.math:accuracy'}
  reward = function | {'kwargs': {'seconds': 0.3}}
  with Grader({'math': reward}, workers=1, timeout_s=60) as grader:
    texts = [r'\boxed{(x+y+z)^{999}}', r'\boxed{14}']
    graded = grader.submit(texts, {'answer': ['14', '14']}, group=2).result()
  now('out of CPU time', '(x+y+z)^{999}, 14', graded['math'])
  assert np.isnan(graded['math'][0])
  assert graded['math'][1] == 1


SOME = (r'\frac{x}{2}', r'x \le 3', '(3,4]', r'\{1,2\}', '1/3', r'\sqrt{8}')
SAME = ('0.5x', '3 >= x', '(3, 4]', '2, 1', r'\frac{2}{6}', r'2\sqrt2')


def grades(order):
  texts = [rf'\boxed{{{one}}}' for one in (*SOME, *SAME)]
  golds = [*SAME, *SOME]
  found = {i: math.equal(texts[i], golds[i]) for i in order}
  return [found[i] for i in range(len(texts))]


def test_the_same_grades_in_any_order_and_after_a_huge_text(now):
  order = list(range(2 * len(SOME)))
  first = grades(order)
  math.equal(r'\boxed{' + 'x+' * 400 + '1}', '14')
  random.Random(0).shuffle(order)
  again = grades(order)
  now('the same grade whatever ran before', 'shuffled', again == first)
  assert again == first == [1] * len(first)


@pytest.mark.slow  # two processes that import sympy beside a busy one
def test_the_same_grades_in_a_cold_process_under_load(now):
  code = (
    f'import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n'
    'import test_a_judges as t; n = 2 * len(t.SOME)\n'
    'print(t.grades(range(n)), t.grades(range(n)))'
  )
  busy = [subprocess.Popen([sys.executable, '-c', 'while 1: 1']) for _ in '123']
  try:
    for seed in ('1', '2'):
      env = os.environ | {'PYTHONHASHSEED': seed}
      run = [sys.executable, '-c', code]
      found = subprocess.run(run, env=env, capture_output=True, text=True)
      assert found.stdout.strip() == f'{[1.0] * 12} {[1.0] * 12}', found.stderr
  finally:
    for process in busy:
      process.kill()
      process.wait()
  now('the same grade whatever ran before', 'cold and busy, twice', 'all 1')
