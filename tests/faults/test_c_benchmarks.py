"""Rows of benchmarks that are wrong: file, line, field, value, remedy."""

import json

import pytest

from tests.faults.test_c_rows import GSM8K, refused

CHOICE = '{"question": "Which?", "choices": ["a", "b"], "answer": %s}'
STEPS = (
  '{"question": "x", "steps": ["a", "b"], "ending": "c", "answer": "4", '
  '"entropies": %s}'
)
LSAT = '{"passage": "P", "question": "Q", "options": ["(A)x"], "label": "B"}'

# what is tried: the task, the file, its content -> how the message begins
ROWS = {
  'question a number in a benchmark': (
    ('math12k', 'a.jsonl', '{"problem": 3, "answer": "4"}'),
    "a.jsonl, line 1: question = 3: accepted is a text (field 'problem')",
  ),
  'MMLU answer 9 of two choices': (
    ('mmlu_arc', 'a.jsonl', f'{CHOICE % 0}\n{CHOICE % 9}'),
    'a.jsonl, line 2: answer = 9 of 2 choices: accepted is A, B, or the number',
  ),
  'MMLU answer -1': (
    ('mmlu_arc', 'a.jsonl', CHOICE % -1),
    'a.jsonl, line 1: answer = -1 of 2 choices: accepted is A, B',
  ),
  'MMLU answer C of two choices': (
    ('mmlu_arc', 'a.jsonl', CHOICE % '"C"'),
    "a.jsonl, line 1: answer = 'C' of 2 choices: accepted is A, B",
  ),
  'MMLU answer true': (
    ('mmlu_arc', 'a.jsonl', CHOICE % 'true'),
    'a.jsonl, line 1: answer = True of 2 choices: accepted is A, B',
  ),
  'LSAT label B of one option': (
    ('lsat_ar', 'a.jsonl', LSAT),
    "a.jsonl, line 1: answer = 'B' of 1 choices: accepted is A",
  ),
  'AMC answer a word': (
    ('amc23', 'a.jsonl', '{"problem": "x", "answer": "four"}'),
    "a.jsonl, line 1: answer = 'four': accepted is a number",
  ),
  'knowledge without a right answer': (
    (
      'knowledge',
      'a.jsonl',
      '{"question": "x", "contexts": [], "answers": []}',
    ),
    'a.jsonl, line 1: answer = []: accepted is a list of one text or more',
  ),
  'solution a list': (
    ('math', 'a.jsonl', '{"problem": "x", "solution": ["y"]}'),
    "a.jsonl, line 1: solution = ['y']: accepted is a text",
  ),
  'GSM8K in a file for another task': (
    ('math12k', 'a.jsonl', GSM8K),
    "a.jsonl, line 1: answer = '2*2=4\\n#### 4' has '####' and the first row",
  ),
  'AMC answer infinite': (
    ('amc23', 'a.jsonl', '{"problem": "x", "answer": "inf"}'),
    "a.jsonl, line 1: answer = 'inf': accepted is a number that is finite",
  ),
  'AMC answer NaN': (
    ('amc23', 'a.jsonl', '{"problem": "x", "answer": "nan"}'),
    "a.jsonl, line 1: answer = 'nan': accepted is a number",
  ),
  'AMC answer true': (
    ('amc23', 'a.jsonl', '{"problem": "x", "answer": true}'),
    'a.jsonl, line 1: answer = True: accepted is a number',
  ),
  'AMC answer of 5,000 digits': (
    ('amc23', 'a.jsonl', f'{{"problem": "x", "answer": "{"7" * 5000}"}}'),
    "a.jsonl, line 1: answer = '7777777",
  ),
  'MATH answer empty': (
    ('math12k', 'a.jsonl', '{"problem": "x", "answer": " "}'),
    "a.jsonl, line 1: answer = ' ': accepted is a text that is not empty",
  ),
  'OlympiadBench without an answer': (
    ('olympiadbench', 'a.jsonl', '{"question": "x", "final_answer": []}'),
    'a.jsonl, line 1: answer = []: accepted is a list of one text or more',
  ),
  'knowledge with an empty answer': (
    (
      'knowledge',
      'a.jsonl',
      '{"question": "x", "contexts": [], "answers": ["a", ""]}',
    ),
    "a.jsonl, line 1: answer = ['a', '']: accepted is a list of one text or",
  ),
  'MMLU without choices': (
    ('mmlu_arc', 'a.jsonl', '{"question": "x", "choices": [], "answer": 0}'),
    'a.jsonl, line 1: choices = []: accepted is a list of 1 to 26 texts',
  ),
  'MMLU of 27 choices': (
    (
      'mmlu_arc',
      'a.jsonl',
      json.dumps({'question': 'x', 'choices': ['a'] * 27, 'answer': 0}),
    ),
    "a.jsonl, line 1: choices = ['a', 'a', ",
  ),
  'MMLU without a question': (
    ('mmlu_arc', 'a.jsonl', CHOICE.replace('Which?', ' ') % 0),
    "a.jsonl, line 1: question = '': accepted is a text that is not empty",
  ),
  'GSM8K-Aug with several answers': (
    (
      'gsm8k_aug',
      'a.jsonl',
      '{"question": "x", "steps": ["1"], "answer": ["1", "2"]}',
    ),
    "a.jsonl, line 1: answer = ['1', '2']: accepted is a text or a finite num",
  ),
  'one entropy of two steps': (
    ('steps', 'a.jsonl', STEPS % '[0.5]'),
    'a.jsonl, line 1: entropies = [0.5]: accepted is a list with a finite numb',
  ),
  'an entropy null': (
    ('steps', 'a.jsonl', STEPS % '[0.5, null]'),
    'a.jsonl, line 1: entropies = [0.5, None]: accepted is a list with a finit',
  ),
  'OpenR1 with texts for true': (
    (
      'openr1_math',
      'a.jsonl',
      '{"problem": "x", "answer": "4", "generations": ["y"], '
      '"correctness_math_verify": [true], "is_reasoning_complete": ["false"]}',
    ),
    "a.jsonl, line 1: complete = ['false']: accepted is a list with true or fa",
  ),
}


@pytest.mark.parametrize('tried', ROWS)
def test_a_row_that_is_wrong_is_named_with_its_place(tried, tmp_path, now):
  (task, name, content), begins = ROWS[tried]
  message = refused(tmp_path, task, name, content)
  assert message.startswith(begins)
  assert len(message) < 600
  now('a row that is wrong', tried, message)
