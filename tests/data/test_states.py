import itertools
from collections import Counter

import pytest

from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.data import states

SETTINGS = {'states': 10, 'letters': 4, 'steps': (5, 5)}


def rows(split='train', count=400, **more):
  return list(states.problems(split, count=count, **{**SETTINGS, **more}))


def test_the_first_row_stays_what_it_is():
  assert rows(count=1, steps=(3, 3)) == [
    {
      'question': 'moves b a a from 4',
      'steps': [' 3', ' 0', ' 9'],
      'ending': ' #### 9',
      'solution': '3 0 9 #### 9',
      'answer': '9',
    }
  ]


def test_a_solution_follows_the_moves():
  table = states.moves(10, 4)
  for row in rows(steps=(2, 6)):
    _, *word, _, start = row['question'].split()
    state = int(start)
    for letter, step in zip(word, row['steps'], strict=True):
      state = table[letter][state]
      assert step == f' {state}'
    assert row['answer'] == str(state)
    assert split_solution(row) == (row['steps'], f' #### {state}')
    assert row['solution'] == ''.join([*row['steps'], row['ending']]).strip()
  assert {len(row['steps']) for row in rows(steps=(2, 6))} == {2, 3, 4, 5, 6}


def test_a_journey_is_the_same_moves_in_words():
  symbols, texts = rows(count=100), rows(count=100, text=True, seed=3)
  assert {len(row['steps']) for row in texts} == {5}
  way_of = {way: x for x, ways in states.WAYS.items() for way in ways}
  used = set()
  for row in texts:
    _, _, _, *ways, _, _, place = row['question'].split()
    used |= {*ways}
    at = states.PLACES.index(place)
    visited = states.path(states.moves(10, 4), at, [way_of[x] for x in ways])
    names = [f' {states.PLACES[state]}' for state in visited]
    assert row['steps'] == names and f' {row["answer"]}' == names[-1]
    question = f'moves {" ".join(way_of[x] for x in ways)} from {at}'
    assert not states.for_test(question)
  assert len(used) == 8 and symbols[0]['answer'].isdigit()


def test_each_letter_is_a_permutation_of_its_own():
  table = states.moves(10, 4)
  assert all(sorted(move) == list(range(10)) for move in table.values())
  assert len({tuple(move) for move in table.values()}) == 4


def test_no_question_is_in_both_splits_of_any_seed():
  questions = lambda split: {
    row['question'] for seed in (0, 1) for row in rows(split, seed=seed)
  }
  assert not questions('train') & questions('test')


def best_guess(rows, known):
  """Accuracy of the likeliest answer given what is known of each question."""
  seen = {}
  for row in rows:
    _, *word, _, start = row['question'].split()
    key = known(word, start)
    seen.setdefault(key, Counter())[row['answer']] += 1
  return sum(max(x.values()) for x in seen.values()) / len(rows)


def test_what_shortcuts_score():
  """Over all questions of three moves: only all of a question helps."""
  table, every = states.moves(10, 4), []
  for start in range(10):
    for word in itertools.product('abcd', repeat=3):
      question = f'moves {" ".join(word)} from {start}'
      every.append(states.problem(question, states.path(table, start, word)))
  assert best_guess(every, lambda word, start: None) == pytest.approx(0.1)
  assert best_guess(every, lambda word, start: word[-1]) == pytest.approx(0.1)
  assert best_guess(every, lambda word, start: tuple(word)) == pytest.approx(
    0.1
  )
  for hidden in range(3):
    all_but_one = lambda word, start, hidden=hidden: (
      start,
      *word[:hidden],
      *word[hidden + 1 :],
    )
    assert 0.25 <= best_guess(every, all_but_one) < 0.36
  assert best_guess(every, lambda word, start: (start, *word)) == 1


def test_one_token_per_state_and_letter():
  encode = states.tokenizer()
  text = rows(count=1, text=True)[0]
  answer = ''.join([*text['steps'], text['ending']])
  tokens = encode.tokenize(text['question'] + answer)
  assert len(tokens) == 3 + 5 + 3 + 5 + 2
  row = rows(count=1, states=100)[0]
  ids = lambda text: encode(text, add_special_tokens=False)['input_ids']
  assert len(ids(row['question'])) == 5 + 3  # moves, from, the start
  assert all(len(ids(step)) == 1 for step in row['steps'])
  assert len(ids(row['ending'])) == 2
  assert encode.decode(ids(row['question'])) == row['question']


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    ({'split': 'valid'}, "split='valid': accepted are 'train' and 'test'"),
    ({'steps': (3, 2)}, r'steps=\(3, 2\): accepted are'),
    ({'states': 1}, 'states=1, letters=4: accepted are at least 2 states'),
    ({'text': True, 'letters': 9}, 'text=True with .* write at most 10 and 8'),
    ({'letters': 27}, 'letters=27: accepted are .* 1 to 26 letters'),
  ],
)
def test_errors_name_the_argument(wrong, message):
  with pytest.raises(ValueError, match=message):
    states.problems(**{'split': 'train', 'count': 1, **SETTINGS, **wrong})
