r"""Grades depend on the texts alone: each judge finds a gold answer right, in
every notation and form that it claims, whatever ran before."""

import json
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest

from experiments.benchmarks.hostile_texts import REPEATED, repeated
from hybrid_latent.curricula.steps import split_steps, worked
from hybrid_latent.data.tasks import TASKS, problem
from hybrid_latent.rewards import (
  answers,
  hrpo,
  hyrea,
  knowledge,
  lengths,
  math,
  soft_tokens,
)

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
  values_are_right(name, golds_of(name)[::12], now)


@pytest.mark.slow  # 20 ms for each of 3,000 gold answers
@pytest.mark.parametrize('name', [*FORMULAS, *NUMBERS])
def test_values_of_all_golds_are_right(name, now):
  values_are_right(name, golds_of(name), now)


UNREAD = {
  r'$f(x)=a x+b$, where $b$ is an arbitrary integer, and $a$ is an arbitrary '
  r'positive integer with $\mho(a)=0$',
  '$221,$8$',
}


@pytest.mark.parametrize(
  ('text', 'value'),
  [
    *[(f'{sign}5', '-5') for sign in '-−‐‒–—－'],
    *[(text, '1000') for text in ('1e3', '1E+3', '1,000.00', '1_000', '10^3')],
    *[(f'1{blank}000', '1000') for blank in ' \xa0\u202f\u2009'],
    *[(text, '1000') for text in (r'1\,000', '1{,}000', '１，０００')],
    *[(text, '1000') for text in ('$1,000', r'\$1,000', '€1,000', '1.000e3')],
    *[(text, '2000') for text in (r'2\times 10^3', '2×10³', '2*10^{3}')],
    *[(text, '7/2') for text in ('3 1/2', '3½', r'3\frac{1}{2}', '3.5')],
    *[(text, '-5') for text in ('-$5', '$-5', r'−\$5', '- 5', '(-5)')],
    *[(text, '5') for text in ('5.', '+5', '5 km', '5 cm^2', '5 m2', '**5**')],
    *[(text, '5') for text in ('x=5', '9-5', '9 - 5', 'No.5', '5元', '(5)')],
    *[(text, '50') for text in ('50%', r'50\%', '50 percent', 'US$50')],
    *[('.5', '1/2'), ('½', '1/2'), (r'\dfrac12', '1/2'), ('5e-1', '1/2')],
    *[('1.5e-3', '3/2000'), (r'-\frac{14}{3}', '-14/3'), ('٣', '3')],
    # A dot is that of decimals; what is neither one notation nor another, or
    # too large, cannot be read.
    *[('1.000', '1'), ('1.000,5', ''), ('1,00', ''), ('10^{99999}', '')],
    *[('9' * 5000, ''), ('1/0', ''), ('a lot', '')],
  ],
)
def test_the_number_is_read_or_not_judged(text, value, now):
  read = hrpo.parsed_answer(f'#### {text}', 'fixed')
  now('a number judge', f'#### {text[:20]}', f'reads {read!r}')
  assert read == value
  graded = hrpo.gsm8k(['#### 7'], answer=[text], parser='fixed')
  assert graded == [0 if value else None]


@pytest.mark.parametrize(
  ('text', 'letter'),
  [
    *[(text, 'B') for text in ('(B)', '**B**', 'B.', 'b', '(b)', '$B$', 'Ｂ')],
    *[(text, 'B') for text in (r'\text{B}', r'\boxed{b}', 'B. A triangle')],
    *[('A is right', 'A'), ('B: I think', 'B'), ('A or J', 'J')],
  ],
)
def test_the_letter_is_read(text, letter, now):
  read = hrpo.parsed_answer(f'#### {text}', 'fixed', 'letter')
  now('a letter judge', text, f'reads {read!r}')
  assert read == letter


@pytest.mark.parametrize(
  ('text', 'gold', 'reward'),
  [
    (r'\frac{14}{3}', r'\frac{14}{3}', 1),
    (r'\frac{14}{3}', '3', 0),
    (r'\dfrac{1}{2}', r'\frac12', 1),
    ('½', r'\frac{1}{2}', 1),
    ('The answer is 14 apples.', '14', 1),
    ('12+7=19', '19', 1),
    ('so $x$ is $7$', '7', 1),
    ('$69$, $84$', '$69$,$84$', 1),
    ('3, 5, 7', '7', 0),
    ('3:1', '1', 0),
    ('2k', '2', 0),
    ('even', r'\text{even}', 1),
    ('90°', r'90^\circ', 1),
    (r'\$18.90', '18.90', 1),
    ('−5', '-5', 1),
    ('-5', '5', 0),
  ],
)
def test_latex_behind_the_delimiter_needs_no_box(text, gold, reward, now):
  texts = [f'#### {text}']
  graded = hrpo.boxed_math(texts, answer=[gold], parser='fixed')
  now('a LaTeX judge', f'#### {text} for {gold}', graded)
  assert graded == [reward]


@pytest.mark.parametrize(
  ('answer', 'gold', 'reward'),
  [
    ('18.90', r'\$18.90', 1),
    ('5', '€5', 1),
    (r'4.5\times 10^{33}', '4.5e33', 1),
    ('0.0015', '1.5e-3', 1),
    (r'1\,000', '1,000', 1),
    ('1 000', '1000', 1),
    ('½', '0.5', 1),
    ('3 1/2', '3.5', 1),
    ('５', '5', 1),
    ('x²', 'x^2', 1),
    ('√2', r'\sqrt{2}', 1),
    ('90°', '90', 1),
    ('−5', '5', 0),
    ('5 dollars', '5', 1),
    ('14.', '14', 1),
    ('x=5', '5', 1),
    (r'50\%', '50', 1),
    ('2k', '2', 0),
    (r'\text{(B)}', 'B', 1),
    ('3, 2', ['4', '$2$, $3$'], 1),
    ('3', '$$', None),
  ],
)
@pytest.mark.parametrize('form', [r'\boxed{%s}', '#### %s'])
def test_values_are_read_in_every_notation(answer, gold, reward, form, now):
  text = form % answer
  marker = form.partition('{')[0].removesuffix(' %s')
  graded = soft_tokens.soft_tokens(
    [text], answer=[gold], marker=marker, right=1, boxed=0
  )
  now('a judge of values', f'{text} for {gold}', graded)
  assert graded == [reward]


def test_what_is_too_large_is_wrong_and_what_takes_too_long_not_judged(now):
  large = ['1' * 1001, '(' * 9 + '1' + ')' * 9, '2^{10^{5}}', '9!!!', '9' * 101]
  texts = [rf'\boxed{{{text}}}' for text in large]
  assert math.accuracy(texts, answer=['14'] * 5) == [0] * 5
  long = math.accuracy([r'\boxed{(x+y+z)^{999}}'], answer=['2'], seconds=0.2)
  now('out of CPU time', '(x+y+z)^{999}', long)
  assert long == [None]


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
  'worked': lambda texts: worked({'solution': f'{texts[0]}\na'}),
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
    ratio = min(growth(judge, texts) for _ in '12')
    if ratio > 3:
      slow[family] = f'{ratio:.1f}'
  now('linear time', f'{name}: {len(FAMILIES)} families', slow or 'all linear')
  assert not slow
