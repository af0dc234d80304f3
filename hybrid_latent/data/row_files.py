"""Rows of a file with their positions: JSON Lines, one JSON list, or CSV.

Errors have the file, the line, the value and what to write instead.
"""

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

SUFFIXES = ('.jsonl', '.json', '.csv', '.tsv')

_ARROW = (
  "an Arrow file: write it as JSON Lines, as with datasets' to_json('train"
  ".jsonl')"
)
_FOREIGN = {  # first bytes -> format, and what to do
  b'\x1f\x8b': 'compressed with gzip: run gunzip',
  b'\x28\xb5\x2f\xfd': 'compressed with zstd: run unzstd',
  b'BZh': 'compressed with bzip2: run bunzip2',
  b'\xfd7zXZ': 'compressed with xz: run unxz',
  b'PK\x03\x04': 'a ZIP archive or a spreadsheet: unzip it, or save it as CSV',
  b'PAR1': (
    'a Parquet file: write it as JSON Lines, as with pandas.read_parquet(FILE)'
    ".to_json('train.jsonl', orient='records', lines=True)"
  ),
  b'ARROW1': _ARROW,
  b'\xff\xff\xff\xff': _ARROW,  # in a folder of datasets.save_to_disk
  b'\xd0\xcf\x11\xe0': 'an old spreadsheet: save it as CSV',
  b'SQLite format 3': 'a database: write its rows as JSON Lines',
  b'<!DOCTYPE html': 'a web page: download the file itself',
  b'<!doctype html': 'a web page: download the file itself',
  b'<html': 'a web page: download the file itself',
  b'\xff\xfe': 'UTF-16: save it as UTF-8',
  b'\xfe\xff': 'UTF-16: save it as UTF-8',
  b'version https://git-lfs': 'a pointer of Git LFS: run git lfs pull',
}


def numbered_rows(
  file: Path, example: str = '{"question": "...", "answer": "..."}'
) -> Iterator[tuple[str, dict[str, Any]]]:
  """('line 7', row) for each row of `file`, in order; 'item 7' in a JSON list.
  `example` is a row, for messages.

  .json holds one list, one row or an object per line, .csv and .tsv have a
  header, and any other suffix is JSON Lines. Blank lines are skipped.
  ValueError for any other content, and for a file without rows.
  """
  text = _text(file)
  kind = file.suffix.lower()
  if kind in ('.csv', '.tsv'):
    rows = _of_csv(file, text, '\t' if kind == '.tsv' else ',')
  elif kind == '.json':
    rows = _of_json(file, text)
  else:
    rows = _of_lines(file, text)
  empty = True
  for place, row in rows:
    empty = False
    if not isinstance(row, dict):
      hint = '; if the file is one list of rows, name it *.json'
      _refuse(
        file,
        place,
        f'{_shown(row)} is not an object: accepted is one such as '
        + example
        + (hint if isinstance(row, list) else ''),
      )
    yield place, row
  if empty:
    raise ValueError(f'{file} has no rows: accepted is one or more')


def _text(file: Path) -> str:
  try:
    data = file.read_bytes()
  except OSError as error:
    raise ValueError(
      f'{file} cannot be read ({error.strerror}): make it readable, or write '
      'another file'
    ) from error
  for start, what in _FOREIGN.items():
    if data.startswith(start):
      raise ValueError(f'{file} is {what}')
  if b'\0' in data[:2]:
    raise ValueError(f'{file} is UTF-16, or not text: save it as UTF-8')
  try:
    return data.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    line = data.count(b'\n', 0, error.start) + 1
    _refuse(
      file,
      f'line {line}',
      f'byte {data[error.start]:#04x} at offset {error.start} is not UTF-8: '
      'save the file as UTF-8',
    )


def _of_lines(file: Path, text: str) -> Iterator[tuple[str, Any]]:
  # Not splitlines(): JSON strings may hold the other Unicode line ends.
  lines = text.split('\n')
  for number, line in enumerate(lines, 1):
    if line.strip():
      cut = '; the file seems to be cut off here' * (number == len(lines))
      place = f'line {number}'
      yield place, _parsed(file, place, line, f'one JSON object per line{cut}')


def _of_json(file: Path, text: str) -> Iterator[tuple[str, Any]]:
  # Many *.json files are JSON Lines: the first line is then a whole object.
  start = text.lstrip()
  first, _, more = start.partition('\n')
  if first.startswith('{') and more.strip():
    try:
      json.loads(first)
    except (ValueError, RecursionError):
      pass  # an object over several lines
    else:
      yield from _of_lines(file, text)
      return
  rows = _parsed(file, '', text, 'one list of rows')
  if not isinstance(rows, list):
    lists = isinstance(rows, dict) and [
      name for name, value in rows.items() if isinstance(value, list)
    ]
    if rows and lists == []:  # an object without lists is one row
      yield 'item 1', rows
      return
    lists = f', and its fields {lists} are lists' if lists else ''
    raise ValueError(
      f'{file} holds {_shown(rows)}{lists}: accepted is one list of rows: '
      'write only the list into the file'
    )
  for number, row in enumerate(rows, 1):
    yield f'item {number}', row


def _of_csv(
  file: Path, text: str, delimiter: str
) -> Iterator[tuple[str, dict[str, str]]]:
  csv.field_size_limit(sys.maxsize)  # a text may be longer than 128 KiB
  reader = csv.reader(
    io.StringIO(text, newline=''), delimiter=delimiter, strict=True
  )
  header, begins = None, 1
  while True:
    place = f'line {begins}'
    try:
      cells = next(reader, None)
    except csv.Error as error:
      _refuse(
        file,
        place,
        f'{error}: put texts that hold quotes, commas or line ends in quotes, '
        'with "" for a quote',
      )
    if cells is None:
      return
    # A quoted cell may have line ends: a row begins where the last one ended.
    begins = reader.line_num + 1
    if not any(cell.strip() for cell in cells):
      continue
    if header is None:
      header = _header(file, place, cells, delimiter)
      continue
    width = len(header)
    if len(cells) < width or any(cells[width:]):  # commas at the end are none
      _refuse(
        file,
        place,
        f'{len(cells)} fields where the header has {width} ({header}): put '
        'texts that hold commas or line ends in quotes',
      )
    pairs = zip(header, cells, strict=False)
    yield place, {name: cell for name, cell in pairs if name}


def _header(
  file: Path, place: str, cells: list[str], delimiter: str
) -> list[str]:
  """The column names; '' for a column without one, such as pandas' index, which
  is dropped."""
  names = [cell.strip() for cell in cells]
  while names and not names[-1]:
    names.pop()
  named = [name for name in names if name]
  if len(set(named)) < len(named):
    _refuse(
      file,
      place,
      f'the header {names} has one name twice: write different names',
    )
  other = next((x for x in ',;\t' if len(names) == 1 and x in names[0]), None)
  if other:
    _refuse(
      file,
      place,
      f'the header is one column, {names[0]!r:.80}: accepted is {delimiter!r} '
      f'between columns (.csv has commas, .tsv tabs), not {other!r}',
    )
  return names


def _parsed(file: Path, place: str, text: str, accepted: str) -> Any:
  try:
    value = json.loads(
      text, parse_constant=_no_number, object_pairs_hook=_without_duplicates
    )
    if re.search(r'\\u[dD][89a-fA-F]', text):  # half of a surrogate pair
      json.dumps(value, ensure_ascii=False).encode()
  except json.JSONDecodeError as error:
    if not place:
      place = f'line {error.lineno}'
    message = f'{error.msg} at column {error.colno} of {_line(error)!r:.80}'
    _refuse(file, place, f'{message}: accepted is {accepted}')
  except RecursionError:
    _refuse(file, place, f'nested too deeply: accepted is {accepted}')
  except UnicodeEncodeError:
    _refuse(file, place, 'half of a surrogate pair: write the whole character')
  except ValueError as error:  # ours, or an integer of thousands of digits
    _refuse(file, place, f'{error}')
  return value


def _line(error: json.JSONDecodeError) -> str:
  return error.doc.split('\n')[error.lineno - 1]


def _no_number(name: str) -> NoReturn:
  raise ValueError(f'{name} is not a number: write a finite one, or a text')


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  row = dict(pairs)
  if len(row) < len(pairs):
    names = [name for name, _ in pairs]
    duplicate = next(name for name in names if names.count(name) > 1)
    raise ValueError(f'field {duplicate!r} occurs twice: write it once')
  return row


def _refuse(file: Path, place: str, what: str) -> NoReturn:
  raise ValueError(f'{file}, {place}: {what}' if place else f'{file}: {what}')


def _shown(value: Any) -> str:
  name = {dict: 'an object', list: 'a list'}.get(type(value))
  return f'{name} ({value!r:.60})' if name else f'{value!r:.60}'
