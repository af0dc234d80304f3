"""The folders of runs: which ones --runs means, and the command, config and
progress of each."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from glob import has_magic
from os import PathLike
from pathlib import PurePath
from typing import Any

from etils import epath
from flax.traverse_util import flatten_dict

from .. import PACKAGE
from ..fields.renamed import renamed_config
from .tables import read_rows

_FIELDS = {  # of config.json: type, and what is accepted
  'config': (dict, 'an object'),
  'command': (list, 'a list of texts'),
  'revision': (str, 'a text'),
  'cwd': (str, 'a text'),
  'path': (list, 'a list of texts'),
}
LABELS = 'labels.json'  # of a sweep: folder of a cell -> its label
RECORD = 'samples.jsonl', 'given.jsonl'  # an evaluation has one of them
# And a run one of these.
_FILES = 'metrics.jsonl', 'config.json', 'log.txt', *RECORD


def find_runs(names: Iterable[str]) -> dict[str, str]:
  """Label of a run -> its folder.

  Args:
    names: each the folder of a run, a folder of runs and sweeps, the folder of
    a
      sweep, whose runs are its cells, a pattern such as 'runs/seed=*', or
      several of these separated by commas. A name that exists is taken whole,
      with its commas.

  Raises FileNotFoundError for a name without a run, and ValueError where its
  commas can be read in more than one way.
  """
  folders = [run for name in names for run in _listed(name)]
  folders = list(dict.fromkeys(folders))
  short = [_short(folder) for folder in folders]
  alone = len(set(short)) == len(short)
  return dict(zip(short if alone else folders, folders, strict=True))


def _short(folder: str) -> str:
  """The label of a cell in its sweep, or the name of the folder."""
  path = epath.Path(folder)
  labels = path.parent.parent / LABELS
  try:
    found = json.loads(labels.read_text()) if labels.exists() else {}
    return str(found.get(path.name, path.name))
  except (AttributeError, ValueError):  # damaged by a crash
    return path.name


def is_evaluation(folder: str | PathLike) -> bool:
  """Whether a folder has the record of an evaluation."""
  return any((epath.Path(folder) / file).exists() for file in RECORD)


def run_info(run: str) -> dict[str, Any]:
  """The fields of its config.json; {} where it has none."""
  path = epath.Path(run) / 'config.json'
  if not path.exists():
    return {}
  try:
    found = json.loads(path.read_text())
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{path} is no JSON: {error}') from None
  if not isinstance(found, dict):
    raise ValueError(f'{path} holds {found!r:.60}: accepted is an object')
  for name, (kind, accepted) in _FIELDS.items():
    if not isinstance(value := found.get(name) or kind(), kind):
      raise ValueError(
        f'{path}: {name} = {value!r:.60}: accepted is {accepted}'
      )
  found['config'] = renamed_config(found.get('config') or {})
  steps = found['config'].get('max_steps')
  if steps is not None and type(steps) is not int:
    raise ValueError(
      f'{path}: config.max_steps = {steps!r:.60}: accepted is a whole number'
    )
  found['command'] = [str(word) for word in found.get('command') or ()]
  return found


def config_fields(run: str) -> dict[str, Any]:
  """The fields of its config, by dotted name."""
  fields: Any = flatten_dict(dict(run_info(run).get('config') or {}), sep='.')
  return fields


def run_command(run: str) -> str:
  """The command of its first start, quoted for a shell."""
  script, *options = run_info(run).get('command') or ['']
  module = module_of(script)
  words = ['-m', module] if module else [script]
  return shlex.join(['python', *words, *options]) if script else ''


def module_of(script: str) -> str:
  """The module of this package that `python -m` ran as the file `script`, on
  any machine; '' for another file."""
  path = PurePath(script)
  if path.suffix != '.py' or 'experiments' not in path.parts[:-1]:
    return ''
  *_, below = '/'.join(path.with_suffix('').parts).rpartition('experiments/')
  names = below.removesuffix('/__main__').split('/')
  return '.'.join([PACKAGE, *names])


def progress(run: str) -> str | None:
  """The steps that are done; None for an evaluation, and where its config has
  no number of steps."""
  steps = [row['step'] for row in read_rows(run, 'metrics') if 'loss' in row]
  total = config_fields(run).get('max_steps')
  if total is None or (is_evaluation(run) and not steps):
    return None
  done = max(steps, default=-1) + 1
  return 'finished' if done >= total else f'{done} of {total} steps'


def config_differences(
  every: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[str]]:
  """Field -> its value in each config, for the fields that differ."""
  fields = sorted({field for each in every.values() for field in each})
  column_names = {
    f: [str(each[f]) if f in each else '–' for each in every.values()]
    for f in fields
  }
  return {f: x for f, x in column_names.items() if len(set(x)) > 1}


def seed_groups(runs: Mapping[str, Any]) -> dict[str, list[str]]:
  """Series -> its runs: those whose configs differ in the seed alone are one
  series, whose label is theirs without the seed."""
  seeds, groups = {}, {}
  for name, run in runs.items():
    fields = config_fields(str(run))
    seeds[name] = fields.pop('seed', None)
    known = seeds[name] is not None
    key = json.dumps(fields, sort_keys=True) if known else name
    groups.setdefault(key, []).append(name)
  series: dict[str, list[str]] = {}
  for names in groups.values():
    if len({seeds[name] for name in names}) < len(names) or len(names) == 1:
      series |= {name: [name] for name in names}
    else:
      label = f'{_without_seed(names[0], seeds[names[0]])} ({len(names)} seeds)'
      taken = label in series or label in runs
      series[names[0] if taken else label.strip()] = names
  return series


def _without_seed(name: str, seed: Any) -> str:
  """'hrpo' of 'hrpo, seed=1' and of 'hrpo-1'."""
  seed = rf'(^|[\s,_-]+)(seed[=_-]?)?{re.escape(str(seed))}(?![^\s,_-])'
  return re.sub(seed, '', name).strip(' ,_-')


def _listed(name: str) -> list[str]:
  """The runs of one name, or of several names separated by commas."""
  named = cache(_named)
  if found := named(name):
    return found
  words = name.rstrip(',').split(',')
  # ways[i]: up to two ways to read the first i words as names. Two are enough
  # to know that the text is ambiguous.
  ways: list[list[list[str]]] = [[[]]]
  for end in range(1, len(words) + 1):
    some = [
      [*way, part]
      for begin in range(end)
      for way in ways[begin]
      if named(part := ','.join(words[begin:end]))
    ]
    ways.append(some[:2])
  if not ways[-1]:
    known = max(i for i, way in enumerate(ways) if way)
    raise FileNotFoundError(
      f'--runs: {",".join(words[known:])!r} has no run: write the --workdir of '
      'a run or of a sweep, or a pattern for such folders'
    )
  if len(ways[-1]) > 1:
    raise ValueError(
      f'--runs: {name!r} can be read as {ways[-1][0]} and as {ways[-1][1]}: '
      'write --runs once for each'
    )
  return [run for part in ways[-1][0] for run in named(part)]


def _named(name: str) -> list[str]:
  """The runs of one name; none where it names no run."""
  path, found = epath.Path(name).expanduser(), []
  parts = path.parts
  plain = next((i for i, x in enumerate(parts) if has_magic(x)), len(parts))
  if name and path.is_dir():
    tops = [path]
  elif plain < len(parts):
    tops = sorted(epath.Path(*parts[:plain]).glob('/'.join(parts[plain:])))
  else:
    tops = []
  for top in tops:
    below = [*top.glob('*'), *top.glob('*/cells/*')]
    for some in [top], top.glob('cells/*'), below:
      if runs := sorted(str(folder) for folder in some if _is_run(folder)):
        found += runs
        break
  return found


def _is_run(folder: epath.Path) -> bool:
  return any((folder / file).exists() for file in _FILES)
