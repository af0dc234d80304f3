"""Reads the rows that runs wrote, and formats tables."""

import html
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import fsspec

Run = list[dict]  # rows of metrics.jsonl or completions.jsonl


def read_rows(run: str | Path, kind: str, needed: bool = False) -> Run:
  """The rows of RUN/KIND.jsonl; none where there is no such file, or
  FileNotFoundError where it is `needed`."""
  path = f'{run}/{kind}.jsonl'
  files, root = fsspec.url_to_fs(path)
  if files.exists(root):
    with files.open(root, 'rt', encoding='utf-8', errors='replace') as file:
      return [*_rows(path, file)]
  if needed:
    raise FileNotFoundError(
      f'{path} does not exist: write the --workdir of a run'
    )
  return []


def _rows(path: str, lines: Iterable[str]) -> Iterator[dict]:
  """The rows, each checked. The last line may be incomplete: it is being
  written, or the run was killed."""
  for number, line in enumerate(lines, 1):
    try:
      row = json.loads(line)
    except (ValueError, RecursionError) as error:
      if not line.endswith('\n'):
        return
      raise ValueError(f'{path}, line {number} is no JSON: {error}') from None
    if not isinstance(row, dict) or not isinstance(row.get('step'), int):
      raise ValueError(f'{path}, line {number} is no object with a step')
    fields = _SAMPLE if path.endswith('/completions.jsonl') else {}
    for name in {**row, **fields}:
      accepted, fits = fields.get(name, _NUMBER)
      if (fields and name not in fields) or fits(row.get(name)):
        continue
      raise ValueError(
        f'{path}, line {number}: {name} = {row.get(name)!r:.60}: accepted is '
        f'{accepted}'
      )
    if fields and len(row['tokens']) != len(row['latent']):
      raise ValueError(
        f'{path}, line {number}: latent has {len(row["latent"])} numbers: '
        f'accepted is one for each of the {len(row["tokens"])} tokens'
      )
    yield row


def _is_number(value: Any) -> bool:
  whole = isinstance(value, int) and abs(value) < 2**63
  return value is None or isinstance(value, float) or whole


def _are(what: Callable[[Any], bool]) -> Callable[[Any], bool]:
  return lambda value: isinstance(value, list) and all(map(what, value))


def _is_text(value: Any) -> bool:
  return isinstance(value, str)


_NUMBER = 'a number or null', _is_number
# Of a completion: field -> what is accepted, and whether a value is that.
_SAMPLE = {
  'step': _NUMBER,
  'prompt': ('a text', _is_text),
  'reward': _NUMBER,
  'tokens': ('a list of texts', _are(_is_text)),
  'latent': ('a list of numbers or nulls', _are(_is_number)),
}


def output_folder(path: str | Path, option: str) -> Path:
  """The folder, which is made. ValueError where it cannot be, naming the
  option."""
  try:
    Path(path).mkdir(parents=True, exist_ok=True)
  except (FileExistsError, NotADirectoryError) as error:
    raise ValueError(
      f'{option}: {error.filename} is no folder: write another'
    ) from None
  return Path(path)


def output_file(path: str | Path, option: str) -> Path:
  """The file to write, whose folder is made; errors as `output_folder`."""
  if Path(path).is_dir():
    raise ValueError(f'{option}: {path} is a folder: write the name of a file')
  return output_folder(Path(path).parent, option) / Path(path).name


def write_atomic(path: str | Path, data: str | bytes) -> None:
  """Writes a file whole: a reader of `path` sees the old one or the new one."""
  part = Path(f'{path}.part')
  text = isinstance(data, str)
  part.write_bytes(data.encode('utf-8', 'replace') if text else data)
  part.replace(path)


def replace_between(page: str, begin: str, end: str, text: str) -> str:
  """The page with the text between its marks `begin` and `end`."""
  before, _, rest = page.partition(begin)
  *_, after = rest.partition(end)
  return f'{before}{begin}\n\n{text}\n{end}{after}'


def markdown_table(table: Sequence[dict]) -> str:
  """The table in Markdown; floats get four digits."""
  show = lambda x: f'{x:.4g}' if isinstance(x, float) else str(x)
  names = column_names(table)
  lines = [names, ['---'] * len(names)]
  lines += [[show(line.get(name, '–')) for name in names] for line in table]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def html_table(rows: Sequence[dict]) -> str:
  """The head and body of an HTML table; floats get four digits. Columns of
  numbers are aligned right."""
  names = column_names(rows)
  align = {
    name: ' class="number"'
    for name in names
    if any(isinstance(row.get(name), Real) for row in rows)
  }
  line = lambda tag, cells: ''.join(
    f'<{tag}{align.get(name, "")}>{html.escape(text)}</{tag}>'
    for name, text in zip(names, cells, strict=True)
  )
  body = ''.join(
    f'<tr>{line("td", [_text(row.get(name)) for name in names])}</tr>'
    for row in rows
  )
  head = line('th', map(str, names))
  return f'<thead><tr>{head}</tr></thead><tbody>{body}</tbody>' if rows else ''


def scrolled_table(rows: Sequence[dict]) -> str:
  """The HTML table in a box that scrolls; '' without rows."""
  inside = f'<div class="scroll"><table>{html_table(rows)}</table></div>'
  return inside * bool(rows)


def _text(value) -> str:
  """A dash for a cell without a value."""
  text = str(value)
  if isinstance(value, Real) and not isinstance(value, Integral):
    text = f'{value:.4g}'
  return '–' if value is None or text == 'nan' else text


def column_names(table: Sequence[dict]) -> list[str]:
  """The keys of all rows, in order of appearance."""
  return list({name: None for line in table for name in line})
