"""The cells of a sweep: a config for each point of a grid, checked as its
trainer will check it."""

import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.command import Config, resolved
from hybrid_latent.data.row_files import numbered_rows

Point = dict[str, str]  # swept field -> its value, as a command line has it


class Cell(NamedTuple):
  """One run of a sweep."""

  label: str  # what sets it apart from the other cells
  values: Point
  config: Config  # as its trainer will have it
  options: list[str]  # what its trainer is told
  folder: Path  # where the sweep notes what became of it
  remote: str = ''  # the folder of all runs, where it is another

  @property
  def run(self) -> str:
    """Its trainer's workdir."""
    if self.remote:
      return f'{self.remote.rstrip("/")}/{self.folder.name}'
    return str(self.folder)


def points(
  grids: Iterable[str] = (), zips: Iterable[str] = (), lists: Iterable[str] = ()
) -> list[Point]:
  """All that is given, multiplied: each row of a list, with each place of a
  zip, with each combination of a grid, whose last field is the fastest.

  Args:
    grids: 'field=value,value; field=value|value', every combination.
    zips: the same; the first values together, then the second ones.
    lists: files with a row a point, JSON Lines or CSV.
  """
  factors: list[list[Point]] = [_listed(Path(path)) for path in lists]
  for text in zips:
    fields = ranges('--zip', text)
    lengths = {field: len(values) for field, values in fields.items()}
    if len(set(lengths.values())) > 1:
      told = ', '.join(f'{f} has {n}' for f, n in lengths.items())
      raise ValueError(f'--zip: {told}: write as many values for each field')
    rows = zip(*fields.values(), strict=True)
    factors.append([dict(zip(fields, row, strict=True)) for row in rows])
  for text in grids:
    for field, values in ranges('--grid', text).items():
      factors.append([{field: value} for value in values])
  found = []
  for parts in itertools.product(*factors):
    fields = [field for part in parts for field in part]
    if twice := {f for f in fields if fields.count(f) > 1}:
      raise ValueError(f'{min(twice)} is given twice: write each field once')
    found.append({f: x for part in parts for f, x in part.items()})
  for point in found:
    if found.count(point) > 1:
      raise ValueError(f'{point} is there twice: write each cell once')
  return found


def ranges(option: str, text: str) -> dict[str, list[str]]:
  """Field -> its values, of 'field=value,value; field=value|value'."""
  fields = {}
  for part in map(str.strip, text.split(';')):
    field, equals, right = map(str.strip, part.partition('='))
    if not equals or not _is_field(field):
      raise ValueError(
        f"{option}: {part!r}: write 'config.field=value,value' or "
        "'argument=value|value', with a semicolon between two fields"
      )
    values = [x.strip() for x in right.split('|' if '|' in right else ',')]
    if field in fields:
      raise ValueError(f'{option}: {part!r}: write each field once')
    fields[field] = values
  return fields


def cells(
  config: str,
  swept: Sequence[Point],
  fixed: Sequence[str],
  folder: Path,
  remote: str = '',
) -> list[Cell]:
  """A cell a point.

  Args:
    config: FILE.py[:ARGUMENT].
    swept: the points; their common fields are not in the labels.
    fixed: --config.field=value, the same for all cells.
    folder: of the cells' folders.
    remote: of the runs, where these are not in their cells' folders.

  Raises ValueError for what a config does not know or cannot be.
  """
  file, _, argument = config.partition(':')
  found = []
  for values, label in zip(swept, _labels(swept), strict=True):
    chosen = values.get('argument', argument)
    path = f'{file}:{chosen}' if chosen else file
    own = [f'--{f}={x}' for f, x in values.items() if f != 'argument']
    found.append(
      Cell(
        label or 'the only cell',
        values,
        resolved(path, [*fixed, *own]),
        [f'--config={path}', *fixed, *own],
        folder / _folder_name(values),
        remote,
      )
    )
  return found


def _is_field(name: str) -> bool:
  return name == 'argument' or name.startswith('config.')


def _listed(path: Path) -> list[Point]:
  """The points of a file; a field that a row lacks is the config's."""
  if not path.is_file():
    raise ValueError(f'--list: there is no file {str(path)!r}')
  if path.suffix not in ('.csv', '.jsonl'):
    raise ValueError(f'--list: {path}: write a file .jsonl or .csv')
  example, found = '{"config.seed": 1, "argument": "x"}', []
  for place, row in numbered_rows(path, example):
    row = {f: x for f, x in row.items() if x != ''}
    if not row or not all(map(_is_field, row)):
      raise ValueError(
        f'--list: {path}, {place} is {row!r}: write fields and their values, '
        f'{example}'
      )
    found.append({f: str(x) for f, x in row.items()})
  return found


def _labels(swept: Sequence[Point]) -> list[str]:
  """How a legend names each point: by what is not the same in all of them, and
  of an argument by the words that not all of them have."""
  fields = list(dict.fromkeys(field for point in swept for field in point))
  varied = [f for f in fields if len({point.get(f) for point in swept}) > 1]
  ends = [field.rpartition('.')[2] for field in fields]
  arguments = [set(p['argument'].split(',')) for p in swept if 'argument' in p]
  shared = set.intersection(*arguments) if arguments else set()

  def part(field, value):
    end = field.rpartition('.')[2]
    if field != 'argument':
      name = end if ends.count(end) == 1 else field.removeprefix('config.')
      return f'{name}={value}'
    own = ','.join(word for word in value.split(',') if word not in shared)
    return own or value

  return [
    ', '.join(part(f, point[f]) for f in varied if f in point)
    for point in swept
  ]


def _folder_name(values: Point) -> str:
  """Tells the values, suits any file system, and is no other cell's. It does
  not change when the grid gets more values or another order."""
  parts = (f'{f.removeprefix("config.")}={x}' for f, x in values.items())
  text = ','.join(sorted(parts))
  name = re.sub(r'[^\w.,=+-]', '_', text, flags=re.ASCII)
  if name == text and len(name) < 120:
    return name
  return f'{name[-110:]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}'
