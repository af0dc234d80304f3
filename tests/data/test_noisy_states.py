import itertools
from collections import Counter

import numpy as np
import pytest

from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.data import noisy_states
from hybrid_latent.data.noisy_states import facts, pass_at_1, right_way


def rows(split='train', count=300, **more):
  return list(noisy_states.problems(split, count=count, **more))


def test_the_first_row_stays_what_it_is():
  assert rows(count=1) == [
    {
      'question': ' e a c 16',
      'steps': [' 19', ' 8', ' 20'],
      'ending': ' #### 20',
      'solution': ' 19 8 20 #### 20',
      'answer': '20',
    }
  ]


@pytest.mark.parametrize('table', ['rule', 'slips'])
def test_solutions_follow_the_facts(table):
  known = facts(table, 24, seed=3)
  settings = dict(table=table, states=24, table_seed=3, tasks=('in', 'out'))
  for row in rows(**settings):
    way = right_way(row['question'], known)
    assert row['steps'] == [f' {known[fact].right}' for fact in way]
    assert row['answer'] == row['steps'][-1].strip()
    assert split_solution(row) == (row['steps'], row['ending'])
  for row in rows(**settings, teacher=True):
    *word, state = row['question'].split()
    for letter, step in zip(word, row['steps'], strict=True):
      assert int(step) in known[letter, int(state)].written
      state = step
    *_, last = right_way(row['question'], known)
    assert row['answer'] == f'{known[last].right}'


@pytest.mark.parametrize('table', ['rule', 'slips'])
def test_pass_at_1_is_the_sum_over_all_ways_of_the_teacher(table):
  """Enumerated one by one, with ways that join again: few states."""
  known = facts(table, 6)
  for row in rows(count=60, table=table, states=6):
    *word, start = row['question'].split()
    total = 0.0
    for way in itertools.product(range(6), repeat=len(word)):
      states = [int(start), *way]
      moves = zip(word, itertools.pairwise(states), strict=True)
      shares = [known[x, a].written.get(b, 0.0) for x, (a, b) in moves]
      total += np.prod(shares) * (way[-1] == int(row['answer']))
    assert pass_at_1(row['question'], known) == pytest.approx(total)


def test_the_teacher_is_right_as_often_as_pass_at_1_says():
  known, written = facts(), rows(count=2000, teacher=True)
  right = [row['ending'].endswith(f' {row["answer"]}') for row in written]
  expected = [pass_at_1(row['question'], known) for row in written]
  assert np.mean(right) == pytest.approx(np.mean(expected), abs=0.02)


def test_the_rule_is_worth_what_the_docstring_says():
  imitator, even = [], []
  for seed in range(16):
    known = facts(seed=seed)
    tests = rows('test', 300, table_seed=seed)
    imitator += [pass_at_1(row['question'], known) for row in tests]
    even += [all(int(x) % 2 == 0 for x in row['steps']) for row in tests]
  p = np.array(imitator)
  assert np.mean(p) == pytest.approx(0.18, abs=0.01)
  assert np.mean(1 - (1 - p) ** 32) == pytest.approx(0.99, abs=0.01)
  assert np.mean(even) == pytest.approx(0.37, abs=0.02)


def test_every_state_is_reached_equally_often():
  known = facts('rule', 16)
  for letter in 'abcdexyz':
    found = [known[letter, state] for state in range(16)]
    reached = Counter(x for fact in found for x in fact.written)
    assert reached == dict.fromkeys(range(16), 2)
    assert all(len({x % 2 for x in fact.written}) == 2 for fact in found)


def test_training_can_avoid_the_facts_that_are_held_back():
  known = facts()
  met = lambda some: {x for r in some for x in right_way(r['question'], known)}
  seen = met(rows(count=2000, seen_only=True))
  assert not any(map(noisy_states.held_back, seen)) and len(seen) > 100
  for split in 'train', 'test':
    every = met(rows(split, 2000, seen_only=split == 'test'))
    held = sum(map(noisy_states.held_back, every))
    assert 0.15 < held / len(every) < 0.35


def test_no_question_is_in_both_splits_of_any_seed():
  questions = lambda split: {
    row['question'] for seed in (0, 1) for row in rows(split, 2000, seed=seed)
  }
  train, test = questions('train'), questions('test')
  assert not train & test and 0.8 < len(train) / len(test) < 1.25


def test_every_word_is_one_token():
  tokenizer = noisy_states.tokenizer()
  for row in rows(count=50, tasks=('in', 'out')):
    text = row['question'] + row['solution']
    assert tokenizer.tokenize(text) == [f'Ġ{x}' for x in text.split()]


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'split': 'valid'}, "split='valid': accepted are 'train' and 'test'"),
    ({'states': 7}, 'states=7: accepted is an even number'),
  ],
)
def test_a_wrong_setting_is_named(settings, message):
  with pytest.raises(ValueError, match=message):
    rows(**settings)
