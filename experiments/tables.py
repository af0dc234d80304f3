"""Rows that runs wrote, and tables that are made of them."""

import html
import json
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real
from pathlib import Path

import fsspec

Run = list[dict]  # rows of metrics.jsonl or completions.jsonl


def rows_of(run: str | Path, kind: str, needed: bool = False) -> Run:
  """The rows of one file of a run; none where there is no such file."""
  path = f'{run}/{kind}.jsonl'
  files, root = fsspec.url_to_fs(path)
  if files.exists(root):
    with files.open(root, 'rt', encoding='utf-8', errors='replace') as file:
      return [*_rows(path, file)]
  if needed:
    raise FileNotFoundError(
      f'{path} does not exist: a run is the working directory that an '
      'experiment was given as --workdir'
    )
  return []


def _rows(path: str, lines: Iterable[str]) -> Iterator[dict]:
  """The last line may be one that is being written, or that a run that was
  killed has left."""
  for number, line in enumerate(lines, 1):
    try:
      row = json.loads(line)
    except ValueError as error:
      if not line.endswith('\n'):
        return
      raise ValueError(f'{path}, line {number} is no JSON: {error}') from None
    if not isinstance(row, dict) or not isinstance(row.get('step'), int):
      raise ValueError(f'{path}, line {number} is no object with a step')
    yield row


def write_whole(path: str | Path, data: str | bytes) -> None:
  """A reader of `path` sees the old file or the new one, never a half."""
  part = Path(f'{path}.part')
  text = isinstance(data, str)
  part.write_bytes(data.encode('utf-8', 'replace') if text else data)
  part.replace(path)


def markdown(table: Sequence[dict]) -> str:
  """The table for a terminal, or a README."""
  show = lambda x: f'{x:.4g}' if isinstance(x, float) else str(x)
  names = columns(table)
  lines = [names, ['---'] * len(names)]
  lines += [[show(line.get(name, '–')) for name in names] for line in table]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def html_table(rows: Sequence[dict]) -> str:
  """The head and the body of a table; floats get four digits."""
  names = columns(rows)
  head = ''.join(
    f'<th{_number(rows[0].get(name))}>{html.escape(str(name))}</th>'
    for name in names
  )
  body = ''.join(
    f'<tr>{"".join(_cell(row.get(name)) for name in names)}</tr>'
    for row in rows
  )
  return f'<thead><tr>{head}</tr></thead><tbody>{body}</tbody>' if rows else ''


def _cell(value) -> str:
  text = str(value)
  if isinstance(value, Real) and not isinstance(value, Integral):
    text = f'{value:.4g}'
  if value is None or text == 'nan':
    text = '–'
  return f'<td{_number(value)}>{html.escape(text)}</td>'


def _number(value) -> str:
  """Numbers stand at the right of their column."""
  return ' class="number"' if isinstance(value, Real) else ''


def columns(table: Sequence[dict]) -> list[str]:
  """The names of all lines, in the order they come up."""
  return list({name: None for line in table for name in line})
