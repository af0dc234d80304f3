import hashlib
import re
import subprocess
import sys

import pytest

from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.data import arithmetic
from hybrid_latent.rewards import hrpo


@pytest.fixture(scope='module')
def tokenizer():
  return arithmetic.tokenizer()


@pytest.fixture(scope='module')
def thinking_tokenizer():
  return arithmetic.thinking_tokenizer()


def rows(split='train', count=300, **difficulty):
  source = arithmetic.problems(split, count=count, **difficulty)
  return [source[i] for i in range(count)]


def equation(row):
  """The numbers and operations of the question, whoever it is about."""
  return tuple(re.findall(r'\d+|times|buys|finds|given|\w+s', row['question']))


def test_the_first_row_stays_what_it_is():
  assert arithmetic.problems('train', count=1)[0] == {
    'question': (
      'Tom has 37 coins. He loses 15. He finds 29 more. He gives away 32. '
      'How many coins does he have?'
    ),
    'solution': '37-15=22 22+29=51 51-32=19 #### 19',
    'answer': '19',
  }


def test_a_row_is_a_function_of_seed_split_and_number():
  assert rows(count=20) == rows(count=40)[:20]
  assert rows(count=20, seed=1) != rows(count=20)
  source = arithmetic.problems('train', count=20)
  assert list(source) == rows(count=20)
  assert source[-1] == source[19]
  with pytest.raises(IndexError):
    source[20]


def test_solutions_are_right_and_earn_the_reward():
  for row in rows(steps=(1, 4), operations='+-*', largest=50):
    *work, hashes, last = row['solution'].split()
    value = int(re.search(r'\d+', row['question']).group())
    for step in work:
      a, operation, b, c = re.fullmatch(
        r'(\d+)([+*-])(\d+)=(\d+)', step
      ).groups()
      want = {
        '+': int(a) + int(b),
        '-': int(a) - int(b),
        '*': int(a) * int(b),
      }
      assert (int(a), int(c)) == (value, want[operation])
      assert b in re.findall(r'\d+', row['question'])
      assert 1 <= int(c) <= 50
      value = int(c)
    assert (hashes, last, row['answer']) == ('####', str(value), str(value))
    for parser in ('official', 'fixed'):
      texts = [row['solution']]
      assert hrpo.gsm8k(texts, answer=[row['answer']], parser=parser) == [1]


def test_no_test_equation_is_a_training_equation_whatever_the_seed():
  easy = {'steps': (1, 2), 'largest': 15, 'count': 2000}
  train = {row['solution'] for s in (0, 1) for row in rows(seed=s, **easy)}
  test = {row['solution'] for row in rows('test', seed=2, **easy)}
  assert len(train) > 1000
  assert len(test) > 150
  assert not train & test


def test_difficulty_is_what_was_asked_for():
  for steps in range(1, 5):
    for row in rows(count=50, steps=(steps, steps), largest=9):
      assert row['solution'].count('=') == steps
      assert max(map(int, re.findall(r'\d+', row['solution']))) <= 9
  assert not any('+' in r['solution'] for r in rows(operations='-', count=50))


@pytest.mark.parametrize(
  ('arguments', 'what'),
  [
    ({'split': 'valid'}, "'train' and 'test'"),
    ({'steps': (3, 2)}, 'both at least 1'),
    ({'operations': '+/'}, "some of '\\+-\\*'"),
    ({'checks': -1}, 'a number of at least 0'),
  ],
)
def test_impossible_arguments_are_refused(arguments, what):
  with pytest.raises(ValueError, match=what):
    arithmetic.problems(**({'split': 'train', 'count': 1} | arguments))


def test_a_difficulty_without_problems_is_refused():
  source = arithmetic.problems('test', count=1, steps=(1, 1), largest=2)
  with pytest.raises(ValueError, match='make `largest` larger'):
    source[0]


def test_the_tokenizer_reads_back_any_text(tokenizer):
  for text in (rows(count=1)[0]['question'], 'é 漢 \x00\n  12', '#### 14'):
    assert tokenizer.decode(tokenizer(text).input_ids) == text
  assert len(tokenizer) <= 384


def test_digits_are_single_tokens_and_solutions_are_short(tokenizer):
  assert tokenizer.tokenize('=123') == ['=', '1', '2', '3']
  for row in rows(count=100, steps=(2, 3)):
    assert 12 <= len(tokenizer(row['solution']).input_ids) <= 32
    assert len(tokenizer(row['question']).input_ids) <= 40


def test_the_delimiter_has_several_tokenisations(tokenizer):
  assert tokenizer.tokenize('5 #### 5') == ['5', 'Ġ####', 'Ġ', '5']
  assert tokenizer.tokenize('5#### 5') == ['5', '##', '##', 'Ġ', '5']
  assert '#' in tokenizer.get_vocab()


def test_the_chat_template_marks_who_speaks_and_where_it_ends(tokenizer):
  chat = [
    {'role': 'system', 'content': 's'},
    {'role': 'user', 'content': 'u'},
    {'role': 'assistant', 'content': 'a'},
  ]
  text = tokenizer.apply_chat_template(chat, tokenize=False)
  assert text == '<|system|>s<|user|>u<|assistant|>a<|end|>'
  prompt = tokenizer.apply_chat_template(
    chat[:2], tokenize=False, add_generation_prompt=True
  )
  assert prompt == '<|system|>s<|user|>u<|assistant|>'
  assert tokenizer.convert_tokens_to_ids('<|assistant|>') == len(
    tokenizer(prompt).input_ids[:-1]
  )
  assert tokenizer(text).input_ids[-1] == tokenizer.eos_token_id
  assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_every_process_trains_the_same_tokenizer(tokenizer):
  program = (
    'from hybrid_latent.data.arithmetic import tokenizer\n'
    'print(tokenizer().backend_tokenizer.to_str())'
  )
  again = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  assert again.stdout.strip() == tokenizer.backend_tokenizer.to_str()


def thinking(split='train', count=300, checks=2, **difficulty):
  return rows(split, count, checks=checks, **difficulty)


@pytest.mark.parametrize(
  ('difficulty', 'digest'),
  [
    ({}, '2f23134347193e2e'),
    ({'worked': 0.5, 'largest': 9}, '173178941bc0e070'),
    ({'steps': (1, 4), 'operations': '+-*', 'seed': 3}, 'bb61f4ad8a33400e'),
  ],
)
def test_rows_that_do_not_think_stay_what_they_are(difficulty, digest):
  text = repr([rows(split, **difficulty) for split in ('train', 'test')])
  assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


def test_the_tokenizer_stays_what_it_is(tokenizer):
  text = repr(sorted(tokenizer.get_vocab().items()))
  assert hashlib.sha256(text.encode()).hexdigest()[:16] == '4c00d449c658395a'


def test_thinking_changes_the_solutions_alone():
  for split in ('train', 'test'):
    plain, thought = rows(split), thinking(split, worked=0.5)
    for before, after in zip(plain, thought, strict=True):
      assert before | {'solution': after['solution']} == after


def test_every_equation_of_a_thought_is_right():
  kinds = set()
  for row in thinking(steps=(1, 4), operations='+-*', count=300):
    thought, answer = row['solution'].split('</think>')
    found = re.findall(r'(\d+)([-+*/])(\d+)=(\d+)', thought)
    assert len(found) == thought.count('=') > 0
    for a, operation, b, c in found:
      want = {
        '+': int(a) + int(b),
        '-': int(a) - int(b),
        '*': int(a) * int(b),
        '/': int(a) / int(b),
      }
      assert want[operation] == int(c) > 0
    assert re.findall(r'\d+', thought)[-1] == row['answer']
    assert answer == f' #### {row["answer"]}'
    assert hrpo.gsm8k([row['solution']], answer=[row['answer']]) == [1]
    kinds |= {operation for _, operation, *_ in found}
  assert kinds == set('+-*/')


def test_a_thought_has_every_step_of_the_bare_solution():
  for bare, row in zip(rows(), thinking(), strict=True):
    at = 0
    for equation in bare['solution'].split('####')[0].split():
      at = row['solution'].index(equation, at) + 1


def test_a_share_of_the_solutions_does_not_think():
  found = [row['solution'] for row in thinking(worked=0.8, count=1000)]
  empty = [text for text in found if text.startswith('</think> #### ')]
  assert 150 < len(empty) < 250
  assert all(re.fullmatch('</think> #### \\d+', text) for text in empty)


def test_checks_make_thoughts_longer(thinking_tokenizer):
  lengths = [
    [
      len(thinking_tokenizer(row['solution']).input_ids)
      for row in thinking(count=50, checks=checks)
    ]
    for checks in (1, 2, 4)
  ]
  means = [sum(some) / 50 for some in lengths]
  assert means == sorted(means)
  assert means[0] > 60 and means[1] < 120


def test_a_thought_falls_into_its_sentences(thinking_tokenizer):
  for row in thinking(count=30):
    steps, ending = split_solution(row)
    assert len(steps) > 3
    assert ending == f' #### {row["answer"]}'
    ids = [
      i for text in (*steps, ending) for i in thinking_tokenizer(text).input_ids
    ]
    assert ids == thinking_tokenizer(row['solution']).input_ids


def test_the_marks_of_thinking_are_tokens_that_show(thinking_tokenizer):
  text = 'many?<think></think> #### 14'
  tokens = thinking_tokenizer.tokenize(text)
  assert tokens[-6:-3] == ['<think>', '</think>', '\u0120####']
  ids = thinking_tokenizer(text).input_ids
  assert thinking_tokenizer.decode(ids, skip_special_tokens=True) == text
  assert len(thinking_tokenizer) <= 448
