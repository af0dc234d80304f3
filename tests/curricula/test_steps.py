import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid_latent.curricula.steps import split_solution, split_steps
from hybrid_latent.data import arithmetic
from hybrid_latent.data.tasks import TASKS, problem

DATA = Path(os.environ.get('HYBRID_LATENT_DATA', '../shared/data'))
# What the rules look at, in any order.
parts = st.one_of(
  st.text(max_size=4),
  st.sampled_from(
    [
      *('. ', '.\n', '...', '? ', '! ', '\n\n', ' ', '  ', '\t', ', ', '; '),
      *('3.14', '5!', '1,000', '12+7=19', ' = ', 'x = 5', ' x ', '<<2*3=6>>'),
      *('$', '$$', '\\$', '\\[', '\\]', '\\(', '\\)', '{', '}', '[asy]'),
      *('\\begin{align}', '\\end{align}', '\\boxed{4}', '[/asy]', '_{k=1}'),
      *('####', ' #### 4', 'The answer is: 4', 'e.g.', 'Dr.', 'No. 5', '1. '),
      *('A. ', '\ue000', '\ue001', '\ue002', '\u2028', '\r\n', '\x00', '🙂'),
    ]
  ),
)
texts = st.lists(parts, max_size=20).map(''.join)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(texts)
@example('')
@example(' \n ')
@example('12+7=19 19-5=14 #### 14')
def test_nothing_is_lost(text):
  steps = split_steps(text)
  assert ''.join(steps) == text
  assert all(steps)
  work, ending = split_solution({'solution': text})
  assert ''.join([*work, ending]) == text
  assert bool(ending) == bool(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(texts)
def test_a_step_ends_with_its_line_and_begins_with_one_blank_at_most(text):
  steps = split_steps(text)
  for before, after in pairwise(steps):
    assert not after[:1].isspace() or after[0] == ' '
    assert not after[1:2].isspace() or after[0] != ' '
    assert before.strip()


@pytest.mark.parametrize(
  'steps',
  [
    # Line ends, and sentence ends.
    ['So it is 3.\n', 'Then 4\n\n', 'Now 5'],
    ['One.  ', ' Two? ', ' Three!\n ', ' Four'],
    ['He asks "why?"', ' (She knows.)', ' **So.**', ' End'],
    ['Line\r\n', 'line\r\n'],
    # Decimals, thousands and factorials.
    ['Pi is 3.14 or .5 of 1,000.50.', ' Good'],
    ['There are 5! = 120 and n! and (n-1)! ways!', ' Many'],
    # Abbreviations and initials.
    ['It is small, e.g. one, i.e. few, cf. this, approx. 2, etc. and more.'],
    ['Dr. J. F. Smith vs. Mr. and Mrs. Lee of the U.S. today.', ' Yes.'],
    ['Take No. 5 of them.', ' Is it 6?', ' No.', ' It is 5.'],
    ['At 3 p.m. she ran 5 sq. ft. of it, or 5 ft.', ' Then she slept.'],
    ['2 * 100 sq.ft. = 200 sq.ft.', ' So'],
    ['1, 2, ... up to 9 ... .'],
    ['Wait...', ' What?!', ' Hm...\n', 'so'],
    # What opens a line is no sentence.
    ['1. First add. ', ' Then go.\n', '2. Second\n ', ' b. third. ', ' Or'],
    ['**Step 1.** Add 2.\n', 'Step 2. Take 3.\n', '- (a) Do. ', ' It'],
    # LaTeX.
    ['We have $x. y$ and $$a. b$$ and \\(c. d\\) here.', ' So'],
    ['Let\n', '\\[p.\nq = 1\n\\]\n', 'Then'],
    [
      'As\n',
      '\\begin{align*}\na &= b. \\\\[2pt]\nc &= d\n\\end{align*}\n',
      'so',
    ],
    ['So $x=3.$', ' Then\n', '\\[y = 4.\\]', 'Thus $z = 5$.'],
    ['There are $5!$ ways and $1, 2, ...$ of them'],
    ['Let $a\n+ b$ be it.', ' So $2\n\\cdot 3$.', ' Then'],
    ['[asy]\ndraw(a. b);\n[/asy]\n', 'See'],
    # Two prices are no formula.
    ['She pays $5.', ' He pays $7.', ' So'],
    ['It costs \\$5.', ' That costs \\$6.', ' So'],
    ['He got 3*2=$<<3*2=6>>6.', ' She got $4.', ' So'],
    # Every equation, and no less than one.
    ['12+7=19', ' 19-5=14', ' #### 14'],
    ['2*3=6,', ' 6+4=10'],
    ['2*3=6;', ' 6+4=10'],
    ['2*3=6,', '6+4=10'],
    ['<<16-3-4=9>>', ' <<9*2=18>>'],
    ['x = 5', ' y = 6,', ' z = 7.', ' Done'],
    ['So $x=3$,', ' $y=4$, and more.'],
    ['If a = 3,', ' then b = 4.'],
    ['3 * 4 cups, each of 2, is 3 * 4 * 2 = 24 cups in 2, 3 or 4 bowls'],
    ['2 + 3 = 5 = 4 + 1'],
    ['12 x 2 = $ <<12*2=24>>24.'],
    ['80/100 * 10 = $<<80/100*10=8>>8 more for 8 + 2 cats'],
    ['3 - .9 - 1.4 = .7 bottles * 100% = 70%'],
    ['The sum $\\sum_{k=1}^n k$, of $m=2$'],
    ['It cost 1,000 + 500 = 1,500 dollars and 2 * 3 = 6 cents'],
  ],
)
def test_steps_are(steps):
  assert split_steps(''.join(steps)) == steps


@pytest.mark.parametrize(
  ('steps', 'ending'),
  [
    (['12+7=19', ' 19-5=14'], ' #### 14'),
    ([], '#### 14'),
    ([], '\n#### 14\n'),
    (['She has 5. ', ' So 6.\n'], '#### 6'),
    (['Add 5.\n'], '#### 6\nThe answer is: 6'),
    (['Add 5.'], ' The answer is: 6'),
    (['#### Part one\n', 'Add 5.\n', '#### Part two\n'], 'It is 6.'),
    (['The answer is not 5.\n', 'Add 1.\n'], 'The answer is: 6'),
    (['Add $5.$'], r' So it is $\boxed{6.5}.$'),
    (['Not $\\boxed{1}$.\n'], 'It is $\\boxed{6}$. This is\nthe end.'),
    (['Add 5. ', ' Take 1.'], ' It is 4.'),
    ([], 'It is 4.'),
    ([], ''),
  ],
)
def test_the_ending_states_the_answer(steps, ending):
  text = ''.join([*steps, ending])
  assert split_solution({'solution': text}) == (steps, ending)


def test_known_steps_are_taken_as_they_are():
  row = {'steps': ['a. b', '\n'], 'ending': 'c', 'solution': 'another'}
  assert split_solution(row) == (['a. b', '\n'], 'c')
  row = {'steps': ['raw'], 'solution': 'Go. Stop.'}
  assert split_solution(row) == (['Go.'], ' Stop.')


def test_a_row_without_a_solution_is_refused():
  with pytest.raises(ValueError, match=r"\['answer', 'steps'\].*'solution'"):
    split_solution({'steps': ['a'], 'answer': 'b'})


def test_steps_of_the_word_problems_are_their_equations():
  source = arithmetic.problems('train', count=300, worked=0.9)
  for row in source:
    *work, hashes, last = row['solution'].split(' ')
    steps, ending = split_solution(row)
    assert [step.strip() for step in steps] == work
    assert ending.strip() == f'{hashes} {last}'


def rows(file):
  path = DATA / file
  if not path.is_file():
    pytest.skip(f'no {path}: the public benchmarks are not here')
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_steps_of_the_first_problems_of_gsm8k_are_its_lines():
  for raw in rows('gsm8k/train.jsonl')[:6]:
    *lines, last = raw['answer'].splitlines(keepends=True)
    assert split_solution(problem(TASKS['gsm8k'], raw)) == (lines, last)


def test_two_sentences_of_a_line_of_gsm8k_are_two_steps():
  *_, raw = [
    raw
    for raw in rows('gsm8k/train.jsonl')
    if raw['answer'].startswith('She made 52 bracelets')
  ]
  assert split_solution(problem(TASKS['gsm8k'], raw))[0][1:] == [
    'She sold 44 bracelets at $0.25 each for a total of 44 * .25 = '
    '$<<44*.25=11.00>>11.00\n',
    'She made $11.00 but she spent $3.00 on the supplies.',
    ' So her profit would be 11-3 = $<<11-3=8.00>>8.00\n',
  ]


def test_every_gsm8k_solution_ends_in_its_answer():
  for raw in rows('gsm8k/test.jsonl'):
    row = problem(TASKS['gsm8k'], raw)
    steps, ending = split_solution(row)
    assert ending == f'#### {raw["answer"].split("#### ")[1]}'
    assert steps and all('####' not in step for step in steps)


def test_no_formula_of_math_is_torn():
  torn = boxes = 0
  for raw in rows('math_agieval/test.jsonl')[:300]:
    steps, ending = split_solution({'solution': raw['other']['solution']})
    boxes += r'\boxed' in ending
    for step in [*steps, ending]:
      torn += step.replace(r'\$', '').count('$') % 2
      torn += step.count(r'\begin') != step.count(r'\end')
      step = step.replace('\\\\[', '')  # a line of a table, with its height
      torn += step.count(r'\[') != step.count(r'\]')
  assert (boxes, torn) == (300, 0)
