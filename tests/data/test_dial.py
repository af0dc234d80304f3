import re

import numpy as np
import pytest

from hybrid_latent.data import dial

PROBLEMS = 13 * 12 * 11  # start, first turn, second turn


def numbers(row):
  start, *turns = map(int, re.findall(r'\d+', row['question']))
  return start, turns


@pytest.fixture(scope='module', params=[False, True])
def rows(request):
  return dial.problems('test', count=300, sentences=request.param)


def test_the_first_row_stays_what_it_is():
  assert dial.problems('test', count=1)[0] == {
    'question': 'From 6 turn +9 +11',
    'steps': [
      *(' Then +11', ' From 6 on to 4', ' Hence the dial shows 4'),
      *(' Now +9', ' From 4 on to 0', ' So the dial shows 0'),
    ],
    'ending': ' #### 0',
    'answer': '0',
  }


def test_the_steps_are_the_solution(rows):
  for row in rows:
    (at, turns), steps = numbers(row), row['steps']
    assert len(steps) == 3 * len(turns)
    taken = []
    for choice, work, check in zip(*[iter(steps)] * 3, strict=True):
      taken += map(int, re.findall(r'\d+', choice))
      before, after = map(int, re.findall(r'\d+', work))
      assert before == at and after == (at + taken[-1]) % 13
      assert re.findall(r'\d+', check) == [str(after)]
      at = after
      # The work does not say which turn it is.
      assert '+' not in work + check
    assert sorted(taken) == sorted(turns)
    assert row['ending'] == f' #### {at}' and row['answer'] == str(at)


def test_problems_are_distinct_and_apart():
  splits = [dial.problems(x, count=PROBLEMS) for x in ('train', 'test')]
  unordered = [
    {(start, *sorted(turns)) for start, turns in map(numbers, rows)}
    for rows in splits
  ]
  assert not unordered[0] & unordered[1]
  questions = [{row['question'] for row in rows} for rows in splits]
  assert sum(map(len, questions)) == PROBLEMS
  assert len(questions[1]) == 864
  first = dial.problems('test', count=864)
  assert {row['question'] for row in first} == questions[1]


def test_seeds_and_repetitions_have_other_wordings():
  rows = dial.problems('test', count=2 * 864)
  assert [x['question'] for x in rows[:864]] == [
    x['question'] for x in rows[864:]
  ]
  assert rows[:864] != rows[864:]
  other = dial.problems('test', count=864, seed=1)
  assert rows[:864] != other
  assert {x['question'] for x in other} == {x['question'] for x in rows}


def test_shortcuts_score_what_the_docstring_says():
  rows = dial.problems('test', count=864) + dial.problems('train', count=852)
  right = lambda guess: np.mean(
    [guess(*numbers(row)) % 13 == int(row['answer']) for row in rows]
  )
  assert right(lambda start, turns: 0) == pytest.approx(1 / 13, abs=0.002)
  assert right(lambda start, turns: start) == pytest.approx(1 / 11, abs=0.001)
  assert right(lambda start, turns: start + turns[0]) == 0
  assert right(lambda start, turns: start + sum(turns)) == 1


def test_every_word_is_a_token(rows):
  tokenizer = dial.tokenizer()
  for row in rows:
    for text in (row['question'], *row['steps'], row['ending']):
      ids = tokenizer(text)['input_ids']
      assert len(ids) == len(re.findall(r'[^\s.]+|\.', text))
      assert tokenizer.decode(ids) == text
  ids = tokenizer.get_vocab().values()
  assert sorted(ids) == [*range(len(tokenizer))]


@pytest.mark.parametrize(
  ('options', 'error'),
  [
    ({'split': 'dev'}, "split='dev': accepted are 'train' and 'test'"),
    ({'turns': 4}, 'turns=4.*1 to 3'),
    ({'modulus': 33}, 'modulus=33.*from 4 to 32'),
  ],
)
def test_wrong_settings(options, error):
  with pytest.raises(ValueError, match=error):
    dial.problems(**{'split': 'train', 'count': 1} | options)
