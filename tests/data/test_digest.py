import json
import shutil

import numpy as np
import pytest

from hybrid_latent.data import arithmetic, jsonl
from hybrid_latent.data.digest import digest

ROWS = [{'question': 'a', 'answer': '1'}, {'question': 'b', 'answer': '2'}]


def test_it_is_the_rows_and_their_order():
  same = [dict(reversed(row.items())) for row in ROWS]
  assert digest(ROWS) == digest(same) == digest(tuple(ROWS))
  others = (
    ROWS[::-1],
    ROWS[:1],
    [*ROWS, ROWS[0]],
    [ROWS[0], ROWS[1] | {'answer': '3'}],
    [ROWS[0], ROWS[1] | {'level': 1}],
  )
  assert len({digest(rows) for rows in (ROWS, *others)}) == 6


def test_rows_may_hold_arrays_and_objects():
  one, two = ([{'x': np.arange(n), 'y': object()}] for n in (2, 3))
  assert digest(one) == digest([{'x': np.arange(2), 'y': object()}])
  assert digest(one) != digest(two)


def test_a_file_keeps_its_digest_where_it_is_moved(tmp_path):
  (tmp_path / 'a').mkdir()
  file = tmp_path / 'a' / 'train.jsonl'
  write = lambda rows: file.write_text('\n'.join(map(json.dumps, rows)))
  made = str(tmp_path / 'made')

  def found(path):
    return digest(jsonl.problems('math12k', str(path), 'train', data_dir=made))

  write([{'problem': 'a', 'answer': '1'}])
  before = found(file)
  shutil.copy(file, tmp_path / 'other.jsonl')
  assert found(tmp_path / 'other.jsonl') == found(tmp_path / 'a') == before
  write([{'problem': 'a', 'answer': '2'}])
  assert found(file) != before


@pytest.mark.parametrize(
  'other', [{'seed': 1}, {'count': 31}, {'largest': 50}, {'steps': (1, 2)}]
)
def test_what_is_drawn_differs_with_its_settings(other):
  rows = lambda **settings: arithmetic.problems(
    'train', **{'count': 30, **settings}
  )
  assert digest(rows()) == digest(rows())
  assert digest(rows()) != digest(rows(**other))
