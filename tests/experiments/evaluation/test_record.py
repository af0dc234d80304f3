"""Rows of a record: written, read, and refused."""

import json
import math
import re

import pytest

from experiments.evaluation.record import (
  read_given,
  read_record,
  read_times,
  record_line,
)

ROW = {
  'arm': 'hrpo/pause',
  'model': 'hrpo',
  'feedback': 'gated',
  'mode': 'chain_of_thought',
  'control': 'pause',
  'budget': None,
  'sampling': 'greedy',
  'dataset': 'gsm8k',
  'prompt': 3,
  'sample': 0,
  'question': 'How many?\u2028</script>',
  'answer': ['2', '2.0'],
  'completion': '\ud800 2',
  'parsed': None,
  'rewards': {'accuracy': 1.0, 'format': math.nan},
  'reward': 1.0,
  'correct': 1,
  'ungraded': False,
  'terminated': True,
  'truncated': False,
  'forced_tokens': 0,
  'num_tokens': 2,
  'num_tokens_without_marks': 1,
  'thinking_tokens': 1,
  'switches': 1,
  'first_position': 7,
  'ids': [5, 6],
  'tokens': ['\n', ' 2'],
  'entropy': [1 / 3, math.inf],
  'log_prob': [-1234567.8, -2e-9],
  'latent_share': [0.5, 0.0],
  'latent': [True, False],
  'marks': [1],
  'near': [[('a', 0.25)] * 5, None],
}
GIVEN = {
  'arm': 'base',
  'dataset': 'arc',
  'prompt': 0,
  'question': '?',
  'choices': ['a', 'b'],
  'answer': 1,
  'log_probs': [[-1.0, -2.0], [-3.0]],
}


def test_rows_are_read_as_they_were_written(tmp_path):
  (tmp_path / 'samples.jsonl').write_text(record_line(ROW) * 2)
  rows = read_record(tmp_path)
  assert len(rows) == 2 and rows[0] == rows[1]
  assert dict(rows[0]) == ROW | {
    'rewards': {'accuracy': 1.0, 'format': None},
    'entropy': [0.333333, None],
    'log_prob': [-1234570.0, -2e-9],
    'near': [[['a', 0.25]] * 5, None],
  }
  (tmp_path / 'given.jsonl').write_text(record_line(GIVEN))
  assert read_given(tmp_path) == [GIVEN]


def test_a_line_is_one_line_for_every_reader():
  assert len(record_line(ROW).splitlines()) == 1
  assert record_line(ROW).isascii()


WRONG = [
  ({'arm': 1}, 'arm = 1: accepted is text'),
  ({'budget': 2.5}, 'budget = 2.5: accepted is an integer or null'),
  ({'ungraded': 0}, 'ungraded = 0: accepted is true or false'),
  ({'control': 'x'}, 'control = \'x\': accepted is "" or "other_problem"'),
  ({'entropy': ['1', 2]}, 'accepted is a list of a number or null'),
  ({'rewards': [1]}, 'rewards = [1]: accepted is an object of a number or'),
  ({'reward': 10**400}, 'accepted is a number or null'),
  ({'near': [None, [['a']]]}, 'a list of a list of [text, a number] or null'),
  ({'latent': [True]}, 'latent has 1 items: accepted is one for each of the n'),
  ({'correct': -0.5}, 'correct = -0.5: accepted is 0 to 1, or null'),
  ({'ungraded': True}, 'ungraded = true: accepted is true where correct is n'),
  ({'marks': [2]}, 'marks = [2]: accepted are positions below 2'),
  ({'prefix_near': 3}, 'prefix_near = 3: accepted is a list of a list of'),
]


@pytest.mark.parametrize(('fields', 'message'), WRONG)
def test_a_row_that_is_none_is_named(fields, message, tmp_path):
  text = record_line(ROW) + record_line(ROW | fields)
  (tmp_path / 'samples.jsonl').write_text(text)
  with pytest.raises(ValueError, match=re.escape(message)) as error:
    read_record(tmp_path)
  assert str(error.value).startswith(f'{tmp_path}/samples.jsonl, line 2: ')


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    (json.dumps({}), 'line 1: it has no arm: accepted is text'),
    ('[]', r'line 1: \[\] is no object'),
    ('{"arm": NaN}', 'line 1: NaN is no JSON: accepted is null'),
    ('{', 'line 1: it is no JSON: run experiments.evaluate again'),
    ('[' * 10**5, 'line 1: maximum recursion'),
    (record_line(GIVEN | {'answer': 2}), 'accepted are those of the 2 choices'),
  ],
)
def test_a_line_that_is_none_is_named(line, message, tmp_path):
  (tmp_path / 'given.jsonl').write_text(line)
  with pytest.raises(ValueError, match=message):
    read_given(tmp_path)
  with pytest.raises(FileNotFoundError, match=r'times\.jsonl does not exist'):
    read_times(tmp_path)
