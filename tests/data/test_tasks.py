"""Rows of the training sets, from small files in their layout."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.data.jsonl import problems
from hybrid_latent.data.tasks import TASKS, problem
from hybrid_latent.rewards import hrpo

DATA = Path(os.environ.get('HYBRID_LATENT_DATA', '../shared/data'))
MATH = {
  'problem': ' What is $1/2$ of $3$? ',
  'level': 'Level 1',
  'type': 'Prealgebra',
  'solution': r'Not \boxed{1}: it is $\boxed{\frac{3}{2}}$.',
}
CHOICES = {'question': 'Which?', 'choices': ['this', 'that', 'it'], 'answer': 2}
KNOWLEDGE = {
  'question': 'Who wrote it? ',
  'contexts': ['"A B"\nHe did.\nSo they say.', 'C\nNobody', '"D"', '"E"\nno'],
  'answers': ['A B', ' Mr. B '],
}
GSM8K = {
  'question': ' How much?',
  'answer': (
    'He had 16-3-4 = <<16-3-4=9>>9 eggs. So 9*2 = $<<9*2=18>>18.\n#### 1,018'
  ),
}
NUMINA = {
  'source': 'olympiads',
  'problem': 'Prove it. ',
  'solution': 'It is. 1. Because it is.\n2. So $x=\\boxed{4}.$',
  'messages': [{'role': 'user', 'content': 'Prove it.'}],
}
META = {
  'type': 'GSM_Rephrased',
  'query': 'How much? ',
  'original_question': 'How?',
  'response': 'It is 2*2 = 4.\nSo 4.\n#### 4\nThe answer is: 4',
}
PROSQA = {
  'question': 'Is Tom a lempus or a scrompus?',
  'steps': ['Tom is a terpus.', 'Every terpus is a lempus.'],
  'answer': 'Tom is a lempus.',
  'edges': [[0, 1]],
}


@pytest.mark.parametrize(
  ('task', 'split', 'file', 'raw', 'expected'),
  [
    (
      'math',
      'train',
      'train.jsonl',
      MATH,
      {
        'question': 'What is $1/2$ of $3$?',
        'solution': MATH['solution'],
        'answer': r'\frac{3}{2}',
      },
    ),
    (
      'math12k',
      'train',
      'train.jsonl',
      {'problem': 'What? ', 'answer': r'\pi'},
      {'question': 'What?', 'answer': r'\pi'},
    ),
    (
      'deepscaler',
      'train',
      'deepscaler.json',
      {'problem': ' How many?', 'answer': '4', 'solution': ''},
      {'question': 'How many?', 'answer': '4'},
    ),
    (
      'mmlu_arc',
      'train',
      'train.jsonl',
      CHOICES,
      {
        'question': 'Question: Which?\nOptions:\nA. this\nB. that\nC. it',
        'choices': CHOICES['choices'],
        'answer': 'C',
      },
    ),
    (
      'knowledge',
      'test',
      'test.jsonl',
      KNOWLEDGE,
      {
        'question': (
          'Context (which may or may not be relevant):\n'
          'A B::::He did.::::So they say.\nC::::Nobody\nD\n'
          '\nQuestion: Who wrote it?'
        ),
        'contexts': KNOWLEDGE['contexts'],
        'answer': ['A B', 'Mr. B'],
      },
    ),
    (
      'gsm8k_symbolic',
      'train',
      'train.jsonl',
      GSM8K,
      {
        'question': 'How much?',
        'solution': GSM8K['answer'],
        'answer': '1,018',
        'steps': ['<<16-3-4=9>>', ' <<9*2=18>>'],
        'ending': ' #### 1,018',
      },
    ),
    (
      'gsm8k_aug',
      'valid',
      'valid.jsonl',
      {'question': 'How?', 'steps': ['<<1+1=2>>', '<<2*2=4>>'], 'answer': '4'},
      {
        'question': 'How?',
        'answer': '4',
        'steps': ['<<1+1=2>>', ' <<2*2=4>>'],
        'ending': ' #### 4',
      },
    ),
    (
      'numinamath_cot',
      'train',
      'train.jsonl',
      NUMINA,
      {
        'question': 'Prove it.',
        'solution': NUMINA['solution'],
        'answer': '4',
      },
    ),
    (
      'metamathqa',
      'train',
      'MetaMathQA-395K.json',
      META,
      {'question': 'How much?', 'solution': META['response'], 'answer': '4'},
    ),
    (
      'prosqa',
      'valid',
      'prosqa_valid.json',
      PROSQA,
      {
        'question': PROSQA['question'],
        'answer': 'Tom is a lempus.',
        'steps': ['Tom is a terpus.\n', 'Every terpus is a lempus.\n'],
        'ending': '### Tom is a lempus.',
      },
    ),
    (
      'steps',
      'train',
      'steps.jsonl',
      {
        'question': 'How?',
        'steps': ['a\n', 'b'],
        'ending': ' c',
        'entropies': [0.5, 1],
        'answer': 'd',
      },
      {
        'question': 'How?',
        'steps': ['a\n', 'b'],
        'ending': ' c',
        'entropies': [0.5, 1],
        'answer': 'd',
      },
    ),
  ],
)
def test_a_row_of_the_file_becomes_ours(
  task, split, file, raw, expected, tmp_path
):
  text = json.dumps([raw, raw] if file.endswith('.json') else raw)
  (tmp_path / file).write_text(text)
  source = problems(task, str(tmp_path), split, data_dir=str(tmp_path / 'made'))
  assert source[-1] == expected


def test_the_training_rows_are_graded_as_the_benchmarks_are():
  gold = problem(TASKS['math'], MATH)['answer']
  right = r'So #### $\dfrac32$'
  assert hrpo.boxed_math([right], answer=[gold]) == [1]
  gold = problem(TASKS['mmlu_arc'], CHOICES)['answer']
  assert hrpo.choice(['#### C', '#### A'], answer=[gold] * 2) == [1, 0]


def test_few_documents_are_taken_as_they_come():
  row = KNOWLEDGE | {'contexts': []}
  assert problem(TASKS['knowledge'], row)['question'] == (
    'Context (which may or may not be relevant):\n\nQuestion: Who wrote it?'
  )


@pytest.mark.parametrize(
  ('field', 'name'), [('answers', 'answer'), ('contexts', 'contexts')]
)
@pytest.mark.parametrize('value', ['one text', [1, 2]])
def test_one_text_is_no_list_of_them(field, name, value):
  with pytest.raises(ValueError, match=rf'{name} = .*accepted is a list'):
    problem(TASKS['knowledge'], KNOWLEDGE | {field: value})


def test_a_field_of_another_name_is_missed():
  raw = {'question': 'Who?', 'contexts': [], 'golden_answers': ['A']}
  with pytest.raises(ValueError, match=r"no field 'answers'.*'golden_answers'"):
    problem(TASKS['knowledge'], raw)


@pytest.mark.parametrize(
  ('task', 'raw', 'steps', 'ending'),
  [
    (
      'gsm8k',
      GSM8K,
      [
        'He had 16-3-4 = <<16-3-4=9>>9 eggs.',
        ' So 9*2 = $<<9*2=18>>18.\n',
      ],
      '#### 1,018',
    ),
    ('gsm8k_symbolic', GSM8K, ['<<16-3-4=9>>', ' <<9*2=18>>'], ' #### 1,018'),
    (
      'numinamath_cot',
      NUMINA,
      ['It is.', ' 1.', ' Because it is.\n'],
      '2. So $x=\\boxed{4}.$',
    ),
    (
      'metamathqa',
      META,
      ['It is 2*2 = 4.\n', 'So 4.\n'],
      '#### 4\nThe answer is: 4',
    ),
    (
      'math',
      MATH,
      ['Not \\boxed{1}: it is so.\n'],
      r'It is $\boxed{\frac{3}{2}}$.',
    ),
    (
      'prosqa',
      PROSQA,
      ['Tom is a terpus.\n', 'Every terpus is a lempus.\n'],
      '### Tom is a lempus.',
    ),
  ],
)
def test_a_row_to_learn_from_has_steps(task, raw, steps, ending):
  if task == 'math':
    raw = raw | {'solution': ''.join([*steps, ending])}
  assert split_solution(problem(TASKS[task], raw)) == (steps, ending)


def test_rows_without_marks_or_without_an_answer_stay():
  row = problem(TASKS['gsm8k_symbolic'], GSM8K | {'answer': 'It is.\n#### 5'})
  assert split_solution(row) == ([], ' #### 5')
  empty = {'question': 'How?', 'steps': [], 'answer': '5'}
  assert split_solution(problem(TASKS['gsm8k_aug'], empty)) == ([], ' #### 5')
  proof = NUMINA | {'solution': 'It is. So it is.'}
  row = problem(TASKS['numinamath_cot'], proof)
  assert row['answer'] == ''
  assert split_solution(row) == (['It is.'], ' So it is.')
  row = problem(TASKS['metamathqa'], META | {'response': 'It is 4.'})
  assert row['answer'] == ''


def test_steps_are_a_list_of_texts():
  raw = {'question': 'How?', 'steps': '<<1+1=2>>', 'answer': '2'}
  with pytest.raises(ValueError, match=r"steps = '<<1.*accepted is a list"):
    problem(TASKS['gsm8k_aug'], raw)


def test_the_marks_of_gsm8k_are_as_many_as_those_of_icot():
  """Counted in its data by others: see Deng et al., arXiv 2405.14838."""
  path = DATA / 'gsm8k' / 'train.jsonl'
  if not path.is_file():
    pytest.skip(f'no {path}: the public benchmarks are not here')
  rows = map(json.loads, path.read_text().splitlines())
  counts = Counter(
    min(len(problem(TASKS['gsm8k_symbolic'], row)['steps']), 7) for row in rows
  )
  expected = {0: 95, 1: 404, 2: 2175, 3: 2137, 4: 1424, 5: 785, 6: 287, 7: 166}
  assert counts == expected
