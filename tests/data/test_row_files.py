"""Files of rows: what comes out is what went in, or an error with its place."""

import csv
import io
import json
import re

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from hybrid_latent.data.row_files import numbered_rows

bounded = settings(
  max_examples=60,
  derandomize=True,
  deadline=None,
  database=None,
  suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEXTS = st.text(st.characters(exclude_categories=['Cs']), max_size=12)
VALUES = st.recursive(
  st.none() | st.booleans() | st.integers() | TEXTS
  | st.floats(allow_nan=False, allow_infinity=False),
  lambda inner: st.lists(inner, max_size=2)
  | st.dictionaries(TEXTS, inner, max_size=2),
  max_leaves=4,
)  # fmt: skip
ROWS = st.lists(
  st.dictionaries(TEXTS, VALUES, max_size=3), min_size=1, max_size=4
)


def read(path, data):
  path.write_bytes(data)
  return [*numbered_rows(path)]


@bounded
@given(rows=ROWS, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_json_comes_back(rows, ascii_only, indent, tmp_path):
  encoded = lambda value, **how: json.dumps(
    value, ensure_ascii=ascii_only, **how
  )
  lines = '\r\n'.join(map(encoded, rows))
  found = read(tmp_path / 'a.jsonl', lines.encode())
  assert found == [(f'line {i}', row) for i, row in enumerate(rows, 1)]
  whole = encoded(rows, indent=indent).encode('utf-8-sig')
  found = read(tmp_path / 'a.json', whole)
  assert found == [(f'item {i}', row) for i, row in enumerate(rows, 1)]


@bounded
@given(
  cells=st.lists(
    st.tuples(TEXTS.filter(str.strip), TEXTS), min_size=1, max_size=4
  )
)
def test_csv_comes_back(cells, tmp_path):
  text = io.StringIO(newline='')
  csv.writer(text, quoting=csv.QUOTE_ALL).writerows([('a', 'b'), *cells])
  found = read(tmp_path / 'a.csv', text.getvalue().encode())
  assert [row for _, row in found] == [{'a': a, 'b': b} for a, b in cells]
  lines = text.getvalue().splitlines()
  assert found[0][0] == 'line 2' and len(lines) >= len(found)


@bounded
@given(
  suffix=st.sampled_from(['.jsonl', '.json', '.csv', '.tsv', '.txt']),
  data=st.binary(max_size=40)
  | st.text('{}[]",:\n\r\\u0aeE-+.NI ', max_size=40).map(str.encode),
)
def test_any_bytes_are_rows_or_an_error_that_names_the_file(
  suffix, data, tmp_path
):
  file = tmp_path / f'a{suffix}'
  try:
    found = read(file, data)
  except ValueError as error:
    assert str(error).startswith(str(file))
    assert len(str(error)) < len(str(file)) + 400
  else:
    assert found and all(isinstance(row, dict) for _, row in found)


@bounded
@given(rows=ROWS, where=st.floats(0, 1), what=st.sampled_from('{}[]",:x'))
def test_a_broken_line_is_the_one_that_is_named(rows, where, what, tmp_path):
  lines = [json.dumps(row) for row in rows]
  broken = round(where * (len(lines) - 1))
  lines[broken] = lines[broken][:-1] + what * 2
  try:
    read(tmp_path / 'a.jsonl', '\n'.join(lines).encode())
  except ValueError as error:
    assert f'a.jsonl, line {broken + 1}: ' in str(error)
  else:
    pytest.fail('it was read')


def test_the_line_of_a_csv_row_counts_line_ends_in_texts(tmp_path):
  text = 'a,b\n"1\n\n2",x\n\n3,y\n'
  assert read(tmp_path / 'a.csv', text.encode()) == [
    ('line 2', {'a': '1\n\n2', 'b': 'x'}),
    ('line 6', {'a': '3', 'b': 'y'}),
  ]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
  with pytest.raises(ValueError, match=re.escape(f'{tmp_path} cannot be read')):
    next(numbered_rows(tmp_path))
