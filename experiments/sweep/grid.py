"""The cells of a sweep: one config per point of a grid, checked as its trainer
checks it."""

import functools
import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hybrid_latent.data.row_files import numbered_rows

from ..fields.overrides import joined, leaves
from ..fields.renamed import Renamed
from ..training.cli import Config, resolved
from .grammar import UNSPLIT, is_field, parse_grid

Point = dict[str, str]  # swept field -> its value, as on a command line


class Cell(NamedTuple):
  """One run of a sweep."""

  label: str  # the values in which it differs from other cells
  values: Point
  config: Config  # that of its trainer
  options: list[str]  # of its trainer
  folder: Path  # where the sweep stores its job, log and state
  remote: str = ''  # the folder of all runs, where it is not WORKDIR/cells
  without: tuple[str, ...] = ()  # fields that only other cells' configs have

  @property
  def run(self) -> str:
    """Its trainer's workdir."""
    if self.remote:
      return f'{self.remote.rstrip("/")}/{self.folder.name}'
    return str(self.folder)


def grid_points(
  grids: Iterable[str] = (), zips: Iterable[str] = (), lists: Iterable[str] = ()
) -> list[Point]:
  """The product of all lists, zips and grids; the last field of a grid varies
  fastest.

  Args:
    grids: 'field=value,value; field=value|value', every combination.
    zips: the same; the first values combined, then the second values.
    lists: files with one row per point, JSON Lines or CSV.
  """
  factors: list[list[Point]] = [_listed(Path(path)) for path in lists]
  for text in zips:
    fields = parse_grid('--zip', text)
    lengths = {field: len(values) for field, values in fields.items()}
    if len(set(lengths.values())) > 1:
      counts = ', '.join(f'{f} has {n}' for f, n in lengths.items())
      raise ValueError(f'--zip: {counts}: write as many values for each field')
    rows = zip(*fields.values(), strict=True)
    factors.append([dict(zip(fields, row, strict=True)) for row in rows])
  for text in grids:
    for field, values in parse_grid('--grid', text).items():
      factors.append([{field: value} for value in values])
  found = []
  for parts in itertools.product(*factors):
    fields = [field for part in parts for field in part]
    if twice := {f for f in fields if fields.count(f) > 1}:
      raise ValueError(f'{min(twice)} is given twice: write each field once')
    found.append({f: x for part in parts for f, x in part.items()})
  for point in found:
    if found.count(point) > 1:
      raise ValueError(f'{point} is given twice: write each cell once')
  return found


def make_cells(
  config: str | None,
  swept: Sequence[Point],
  fixed: Sequence[str],
  folder: Path,
  remote: str = '',
) -> list[Cell]:
  """One cell per point. Where the points have several configs, a cell runs
  without the fields that only the configs of other cells have.

  Args:
    config: FILE.py[:ARGUMENT]; None where every point has `config`.
    swept: the points; fields that all share are not in the labels.
    fixed: --config.field=value, the same for all cells.
    folder: the parent of the cells' folders.
    remote: the parent of the runs, where these are not in the cells' folders.

  Raises ValueError for a field that no config has, or a value that it rejects.
  """
  of_all = {_field(option): option for option in joined(fixed)}
  used, lacked, found = set(), {}, {}
  for values in swept:
    path, options = _path(config, values), of_all | _options(values)
    lacking = _lacking(path, options)
    used, lacked = used | (options.keys() - lacking.keys()), lacked | lacking
    kept = [option for field, option in options.items() if field not in lacking]
    values = {field: x for field, x in values.items() if field not in lacking}
    # Points that differ only in fields which their config lacks are one cell.
    found.setdefault((f'--config={path}', *kept), (values, (*lacking,)))
  for field in lacked.keys() - used:  # no config has it
    error = lacked[field]
    if isinstance(error, Renamed) and field not in of_all:
      text = str(error).partition(': write ')[0]
      raise ValueError(f'{text}: write {error.written} in the grid')
    raise error
  fields = list(dict.fromkeys(field for values in swept for field in values))
  labels = _labels([values for values, _ in found.values()], fields)
  return [
    Cell(
      label or 'the only cell',
      values,
      resolved(options[0].removeprefix('--config='), options[1:]),
      [*options],
      folder / _folder_name(values),
      remote,
      without,
    )
    for (options, (values, without)), label in zip(
      found.items(), labels, strict=True
    )
  ]


def _path(config: str | None, values: Point) -> str:
  """FILE.py[:ARGUMENT] of a cell."""
  if not (chosen := values.get('config', config)):
    raise ValueError('write --config=FILE.py[:ARGUMENT], or config= in --grid')
  file, _, argument = chosen.partition(':')
  argument = values.get('argument', argument)
  return f'{file}:{argument}' if argument else file


def _options(values: Point) -> dict[str, str]:
  """The options of a trainer for the fields of a cell's config."""
  return {f: f'--{f}={x}' for f, x in values.items() if f not in UNSPLIT}


def _field(option: str) -> str:
  """config.field of '--config.field=value'."""
  return option.removeprefix('--').partition('=')[0]


def _lacking(path: str, options: dict[str, str]) -> dict[str, ValueError]:
  """Field -> the error of the config, for the fields that it does not have."""
  found, known = {}, _fields(path)
  for field, option in options.items():
    if field.removeprefix('config.') not in known:
      try:
        resolved(path, [option])
      except ValueError as error:
        found[field] = error
  return found


@functools.cache
def _fields(path: str) -> frozenset[str]:
  return frozenset(name for name, _ in leaves(resolved(path, [])))


def _listed(path: Path) -> list[Point]:
  """The points of a file; a field that a row lacks keeps the config's value."""
  if not path.is_file():
    raise ValueError(f'--list: there is no file {str(path)!r}')
  if path.suffix not in ('.csv', '.jsonl'):
    raise ValueError(f'--list: {path}: write a file .jsonl or .csv')
  example, found = '{"config.seed": 1, "argument": "x"}', []
  for place, row in numbered_rows(path, example):
    row = {f: x for f, x in row.items() if x != ''}
    if not row or not all(map(is_field, row)):
      raise ValueError(
        f'--list: {path}, {place} is {row!r}: write fields and their values, '
        f'{example}'
      )
    found.append({f: str(x) for f, x in row.items()})
  return found


def _labels(swept: Sequence[Point], fields: Sequence[str]) -> list[str]:
  """The label of each point: the fields that differ between points; of a config
  and its argument, the words that not all points have."""
  varied = [f for f in fields if len({point.get(f) for point in swept}) > 1]
  ends = [field.rpartition('.')[2] for field in fields]
  shared = {
    field: set.intersection(
      *(set(_words(field, p[field])) for p in swept if field in p)
    )
    for field in UNSPLIT
    if field in fields
  }

  def part(field, value):
    end = field.rpartition('.')[2]
    if field not in UNSPLIT:
      name = end if ends.count(end) == 1 else field.removeprefix('config.')
      return f'{name}={value}'
    own = ','.join(x for x in _words(field, value) if x not in shared[field])
    return own or value

  labels = [
    ', '.join(part(f, point[f]) for f in varied if f in point)
    for point in swept
  ]
  return labels if len({*labels}) == len(labels) else [*map(str, swept)]


def _words(field: str, value: str) -> list[str]:
  """The words of an argument; for FILE.py:ARGUMENT, after the name of the
  file."""
  file, colon, argument = value.partition(':')
  if field == 'argument':
    return value.split(',')
  return [Path(file).stem, *(argument.split(',') if colon else ())]


def _folder_name(values: Point) -> str:
  """A name with the values, valid on any file system and unique. It does not
  change when the grid gets more values or another order."""
  joined_values = lambda point: ','.join(
    sorted(f'{f.removeprefix("config.")}={x}' for f, x in point.items())
  )
  short = dict(values)
  if 'config' in values:
    short['config'] = Path(values['config'].partition(':')[0]).stem
  text, name = joined_values(values), joined_values(short)
  name = re.sub(r'[^\w.,=+-]', '_', name, flags=re.ASCII)
  if name == text and len(name) < 120:
    return name
  return f'{name[-110:]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}'
