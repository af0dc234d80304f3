import re
from collections import Counter
from itertools import pairwise

import pytest

from hybrid_latent.data import running_sums
from hybrid_latent.data.running_sums import problems


def rows(split='train', count=400, **more):
  return [*problems(split, count=count, **more)]


def test_the_first_row_stays_what_it_is():
  assert rows(count=3)[2] == {
    'question': 'from 1 +2 -1 +1 +2 -3',
    'solution': ' from 1 +2 -1 +1 +2 -3\n 3 2 3 5 2\n</think> 3 5 2 #### 2',
    'answer': '2',
  }


def test_a_thinking_restates_the_question_and_ends_at_the_answer():
  shapes = set()
  for row in rows(steps=4, largest=12, repeats=2):
    _, start, *operations = row['question'].split()
    sums = [int(start)]
    for text in operations:
      sums.append(sums[-1] + int(text))
    assert all(1 <= i <= 12 for i in sums) and row['answer'] == f'{sums[-1]}'
    thinking, _, answer = row['solution'].partition('</think>')
    *lines, last = thinking.split('\n')
    assert not last
    question, line = f' {row["question"]}', ''.join(f' {i}' for i in sums[1:])
    asked = lines.count(question)
    assert lines == [question] * asked + [line] * (len(lines) - asked)
    worked = ''.join(f' {i}' for i in sums[-3:])
    assert answer in (f' #### {sums[-1]}', f'{worked} #### {sums[-1]}')
    shapes.add((asked, len(lines) - asked, answer.startswith(worked)))
  lengths = {(0, 0)} | {(i, j) for i in (1, 2, 3) for j in (1, 2, 3)}
  assert shapes == {(*x, worked) for x in lengths for worked in (True, False)}


def test_the_shares_of_thinkings_and_of_worked_answers():
  some = rows(count=2000, thinks=0.8, worked=0.5)
  thinks = sum(not row['solution'].startswith('</think>') for row in some)
  bare = sum('</think> ####' in row['solution'] for row in some)
  assert abs(thinks - 1600) < 60 and abs(bare - 1000) < 80


def test_no_question_is_in_both_splits_of_any_seed():
  questions = lambda split: {
    row['question']
    for seed in (0, 1)
    for row in rows(split, count=2000, seed=seed, steps=2, shown=1)
  }
  train, test = questions('train'), questions('test')
  assert not train & test and train and test


def test_what_shortcuts_score():
  """The best guess by what is known of a question, over all questions."""
  walks = [((first,), 1 / 19) for first in range(1, 20)]
  for _ in range(5):
    walks = [
      ((*walk, after), share / len(reached))
      for walk, share in walks
      for reached in [running_sums.following(walk[-1], 19, 3)]
      for after in reached
    ]
  walks = [
    ((sums[0], *(b - a for a, b in pairwise(sums))), sums[-1], share)
    for sums, share in walks
  ]

  def best(known):
    shares = Counter()
    for words, answer, share in walks:
      shares[known(words), answer] += share
    most = {}
    for (key, _), share in shares.items():
      most[key] = max(most.get(key, 0), share)
    return round(sum(most.values()), 2)

  assert best(lambda words: 0) == 0.06
  assert best(lambda words: words[0]) == 0.11
  assert best(lambda words: words[1:]) == 0.21
  assert best(lambda words: (words[0], *words[2:])) == 0.37
  assert best(lambda words: words[:-1]) == 0.19


def test_a_word_is_a_token_and_all_text_can_be_encoded():
  tokenizer = running_sums.tokenizer(12)
  for row in rows(count=20, largest=12):
    for text in row['question'], f'<think>{row["solution"]}':
      tokens = re.findall(r'</?think>|\n| ?[^ \n<]+', text)
      ids = tokenizer(text, add_special_tokens=False)['input_ids']
      assert [tokenizer.decode([i]) for i in ids] == tokens
      assert tokenizer.decode(ids) == text
  text = 'Ünd 123, x=+-1 </think>\n\n<|end|>'
  assert tokenizer.decode(tokenizer(text)['input_ids']) == text


@pytest.mark.parametrize(
  ('split', 'wrong', 'told'),
  [
    ('dev', {}, "split='dev': accepted are 'train' and 'test'"),
    ('test', {'shown': 6}, 'shown=6: accepted are 1 to steps=5 sums'),
  ],
)
def test_what_is_refused(split, wrong, told):
  with pytest.raises(ValueError, match=re.escape(told)):
    problems(split, count=1, **wrong)
