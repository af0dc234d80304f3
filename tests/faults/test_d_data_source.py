"""`data.function=my_data:problems`, a function of one's own."""

import importlib
import json
import re

import numpy as np
import pytest

from hybrid_latent.data import arithmetic, sources
from hybrid_latent.data.digest import digest

ROWS = [{'question': 'x', 'answer': 4}, {'question': 'y', 'answer': '5'}]
READ = [{'question': 'x', 'answer': '4'}, {'question': 'y', 'answer': '5'}]


class Dataset:
  """As datasets.Dataset has its rows."""

  def __len__(self):
    return 2

  def __getitem__(self, index):
    return ROWS[index]


def rows(function, *, of=(('task', 'gsm8k'),), **given):
  return sources.rows(function, 'mine:problems', 'train', of=dict(of), **given)


def by_name(split):
  return ROWS if split == 'train' else []


def by_place(which):
  return ROWS if which == 'train' else []


def with_default(split='test', limit=9):
  return ROWS[:limit] if split == 'train' else []


def with_anything(**settings):
  assert settings == {'split': 'train', 'task': 'gsm8k'}
  return ROWS


def with_path(split, path=None):
  assert path is None
  return tuple(ROWS)


def drawn(split):
  yield from ROWS


def positional(split, /):
  return ROWS


class Frame:
  """As pandas.DataFrame has its rows."""

  def iterrows(self):
    return enumerate(ROWS)

  def to_dict(self, orient):
    assert orient == 'records'
    return ROWS


RIGHT = {
  'problems(split, /)': positional,
  'a DataFrame': lambda split: Frame(),
  "rows as GSM8K's": lambda split: [
    {'question': r['question'], 'answer': f'It is.\n#### {r["answer"]}'}
    for r in ROWS
  ],
  'problems(split)': by_name,
  'problems(which)': by_place,
  "problems(split='test', limit=9)": with_default,
  'problems(**settings)': with_anything,
  'problems(split, path=None)': with_path,
  'a generator': drawn,
  'an iterator': lambda split: iter(ROWS),
  'a Dataset': lambda split: Dataset(),
  'other names': lambda split: [
    {'prompt': r['question'], 'label': r['answer']} for r in ROWS
  ],
  'numpy': lambda split: [
    {'question': np.str_('x'), 'answer': np.int64(4)},
    {'question': 'y', 'answer': np.float32(5)},
  ],
}


@pytest.mark.parametrize('tried', RIGHT)
def test_a_plain_function_gives_rows(tried, now):
  found = rows(RIGHT[tried])
  solved = [{name: row[name] for name in READ[0]} for row in found]
  assert solved == READ
  assert len(found) == 2 and found[-1]['answer'] == '5'
  assert digest(found) == digest([*found])
  now('data.function', tried, [*found])


def broken(split):
  return [row['questoin'] for row in ROWS]


def broken_later(split):
  yield ROWS[0]
  raise OSError('gone')


class Unreadable(Dataset):
  def __getitem__(self, index):
    return json.loads('{' if index else json.dumps(ROWS[0]))


def leaves(split):
  raise SystemExit(3)


class NoLength(Dataset):
  def __len__(self):
    raise TypeError('no length')


WRONG = {
  'an exit': (leaves, r'failed at .*_source.py, line \d+: SystemExit: 3'),
  'a length that fails': (
    lambda split: NoLength(),
    r'failed at .*_source.py, line \d+: TypeError: no length',
  ),
  'no signature': (
    dict,
    "data.function='mine:problems': no signature .*accepted",
  ),
  'a column that is a number': (
    lambda split: [ROWS[0] | {3: 4}],
    'row 1: column 3 of .*: accepted are names that are texts',
  ),
  'half a surrogate pair': (
    lambda split: [{'question': '\ud800', 'answer': 1}],
    r"row 1: question = '\\ud800': accepted are the types of JSON",
  ),
  'an integer of 5,000 digits': (
    lambda split: [{'question': 'x', 'answer': 10**5000}],
    'row 1: answer = int: accepted are the types of JSON',
  ),
  'an error in it': (
    broken,
    r"failed at .*_source.py, line \d+: KeyError: 'qu",
  ),
  'an error in what it yields': (
    broken_later,
    r'failed at .*_source.py, line \d+: OSError: gone',
  ),
  'an error in a row': (
    lambda split: Unreadable(),
    r'row 2: it failed at .*_source.py, line \d+: JSONDecodeError: Exp',
  ),
  'None': (
    lambda split: None,
    r"returned NoneType for split='train': accepted",
  ),
  'a text': (lambda split: 'rows', 'returned str for'),
  'splits': (
    lambda split: {'train': ROWS, 'test': ROWS},
    r"returned dict of \['test', 'train'\] for split='train'",
  ),
  'no rows': (lambda split: [], 'returned no rows: accepted is one or more'),
  'pairs': (
    lambda split: [('x', 4)],
    r"row 1: \('x', 4\) is not a row: accepted",
  ),
  'no answer': (
    lambda split: [*ROWS, {'question': 'z', 'anwser': 1}],
    r"row 3: no field 'answer' in a row that has \['anwser', 'question'\], but "
    'the rows before have it: add it, or remove the row',
  ),
  'answer None': (
    lambda split: [{'question': 'x', 'answer': None}],
    'row 1: answer = None: accepted is a text, a finite number',
  ),
  'question a number of things': (
    lambda split: [{'question': ['x'], 'answer': 1}],
    r"row 1: question = \['x'\]: accepted is a text",
  ),
  'an object in a row': (
    lambda split: [*ROWS, ROWS[0] | {'image': object()}],
    'row 3: image = <object object at .*>: accepted are the types of JSON',
  ),
  'no split': (
    lambda: ROWS,
    r'takes \(\): too many positional arguments; accepted is a function of `sp',
  ),
  'a setting that it lacks': (
    lambda split, *, size: ROWS,
    r"takes \(split, \*, size\): missing a required .*'size'.*data.kwargs",
  ),
}


@pytest.mark.parametrize('tried', WRONG)
def test_what_is_wrong_with_it_is_named(tried, now):
  function, says = WRONG[tried]
  with pytest.raises(ValueError, match=says) as caught:
    rows(function)
  assert 'mine:problems' in str(caught.value)
  told = re.sub(r'/\S*/', '', str(caught.value))
  now('data.function', tried, re.sub(' at 0x[0-9a-f]*', '', told))


def test_settings_are_not_lost_in_silence(now, caplog):
  with pytest.raises(ValueError, match=r"data.path='d': mine.*no 'path'") as e:
    rows(by_name, path='d')
  now('data.function', 'data.path for a function without one', e.value)
  rows(by_name, of={'count': 3})
  assert caplog.messages == [
    'data.kwargs.count=3: mine:problems takes (split); the setting is ignored'
  ]
  with pytest.raises(
    ValueError, match=r"data.kwargs.cuont=3: .*, and no 'cuont'"
  ):
    rows(arithmetic.problems, of={'count': 3, 'cuont': 3})
  with pytest.raises(ValueError, match=r"takes .*'count'"):
    rows(arithmetic.problems, of={'task': 'gsm8k'})
  with pytest.raises(
    ValueError, match=r"data.fields='answer=a': .* generates its rows"
  ):
    rows(arithmetic.problems, of={'count': 3}, fields='answer=a')


def test_its_fields_may_be_named(now):
  found = rows(
    lambda split: [{'q': {'text': 'x'}, 'a': 4, 'level': 'hard'}],
    fields='question=q.text,answer=a',
  )
  assert [*found] == [{'question': 'x', 'answer': '4', 'level': 'hard'}]
  now('data.function', 'with data.fields=question=q.text,answer=a', [*found])


def test_a_module_beside_the_command(tmp_path, monkeypatch, now):
  (tmp_path / 'my_data.py').write_text(f'def problems(split): return {ROWS}')
  monkeypatch.syspath_prepend(tmp_path)
  problems = importlib.import_module('my_data').problems
  assert [*rows(problems)] == READ
  now('data.function', 'my_data.py', 'read')
