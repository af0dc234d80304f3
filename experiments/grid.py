"""The cells of a sweep: a config for each combination of some fields' values,
checked as its trainer will check it."""

import difflib
import hashlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags
from flax.traverse_util import flatten_dict
from ml_collections import config_flags

from experiments.command import Config

Swept = dict[str, list[str]]  # field -> its values


class Cell(NamedTuple):
  """One run of a sweep."""

  label: str  # what sets it apart from the other cells
  values: dict[str, str]  # swept field -> its value
  config: Config  # as its trainer will have it
  options: list[str]  # what its trainer is told
  folder: Path


def cells(
  config: str, grid: str, fixed: Sequence[str], folder: Path
) -> list[Cell]:
  """The product of the values, the last field's fastest.

  Args:
    config: FILE.py[:ARGUMENT].
    grid: 'field=value,value; field=value|value'.
    fixed: --config.field=value, the same for all cells.
    folder: of the cells' folders.

  Raises ValueError for what a config does not know or cannot be.
  """
  file, _, argument = config.partition(':')
  if not Path(file).is_file():
    raise ValueError(f'--config: there is no file {file!r}')
  swept = _swept(grid)
  found, labels = [], _labels(swept)
  for combination in itertools.product(*swept.values()):
    values = dict(zip(swept, combination, strict=True))
    chosen = values.get('argument', argument)
    path = f'{file}:{chosen}' if chosen else file
    own = [f'--{f}={x}' for f, x in values.items() if f != 'argument']
    label = ', '.join(filter(None, (labels[f][x] for f, x in values.items())))
    found.append(
      Cell(
        label or 'the only cell',
        values,
        resolved(path, [*fixed, *own]),
        [f'--config={path}', *fixed, *own],
        folder / _folder_name(values),
      )
    )
  return found


def resolved(path: str, overrides: Sequence[str]) -> Config:
  """The config as a trainer with these options would have it."""
  fields = flatten_dict(_parsed(path, []).to_dict(), sep='.')
  known = [f'config.{field}' for field in fields]
  for override in overrides:
    field, equals, _ = override.removeprefix('--').partition('=')
    if not equals or not override.startswith('--config.'):
      raise ValueError(f'{override!r}: write --config.field=value')
    if field not in known:
      below = [name for name in known if name.startswith(f'{field}.')]
      near = below or difflib.get_close_matches(field, known, n=1, cutoff=0)
      raise ValueError(f'{path} has no field {field}: write {near[0]}')
  return _parsed(path, overrides)


def _parsed(path, overrides) -> Config:
  """By the parser of the trainers, which checks the types."""
  values, argv = flags.FlagValues(), ['', f'--config={path}', *overrides]
  config = config_flags.DEFINE_config_file(
    'config', lock_config=True, flag_values=values, sys_argv=argv
  )
  try:
    values(argv)
  except flags.Error as error:  # it may hold a whole traceback
    raise ValueError(str(error).strip().splitlines()[-1]) from error
  return config.value


def _swept(grid: str) -> Swept:
  swept = {}
  for part in map(str.strip, grid.split(';')):
    field, equals, text = map(str.strip, part.partition('='))
    if not equals or not (field == 'argument' or field.startswith('config.')):
      raise ValueError(
        f"--grid: {part!r}: write 'config.field=value,value' or "
        "'argument=value|value', with a semicolon between two fields"
      )
    values = [x.strip() for x in text.split('|' if '|' in text else ',')]
    if field in swept or len(set(values)) < len(values):
      raise ValueError(f'--grid: {part!r}: write each field and value once')
    swept[field] = values
  return swept


def _labels(swept: Swept) -> dict[str, dict[str, str]]:
  """Field -> value -> how a legend names it: nothing where it never changes,
  and of an argument the words that not all of them have."""
  ends = [field.rpartition('.')[2] for field in swept]
  labels = {}
  for end, (field, values) in zip(ends, swept.items(), strict=True):
    name = end if ends.count(end) == 1 else field.removeprefix('config.')
    several = len(values) > 1
    labels[field] = {x: f'{name}={x}' if several else '' for x in values}
    if field == 'argument' and several:
      words = [x.split(',') for x in values]
      shared = set(words[0]).intersection(*words)
      for value, some in zip(values, words, strict=True):
        own = ','.join(word for word in some if word not in shared)
        labels[field][value] = own or value
  return labels


def _folder_name(values: dict[str, str]) -> str:
  """Tells the values, suits any file system, and is no other cell's. It does
  not change when the grid gets more values or another order."""
  parts = (f'{f.removeprefix("config.")}={x}' for f, x in values.items())
  text = ','.join(sorted(parts))
  name = re.sub(r'[^\w.,=+-]', '_', text, flags=re.ASCII)
  if name == text and len(name) < 120:
    return name
  return f'{name[-110:]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}'
