"""Rows of the training sets, from small files in their layout."""

import json

import pytest

from hybrid_latent.data.jsonl import problems
from hybrid_latent.data.tasks import TASKS, problem
from hybrid_latent.rewards import hrpo

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
