"""Loads a config file and applies `--config.field=value` options."""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from .. import PACKAGE
from .accepted import Kwargs, expanded, parsed
from .config_errors import call_error, load_error
from .functions import (
  ROLES,
  Role,
  keywords,
  resolved_function,
)
from .named import Config
from .renamed import (
  Renamed,
  new_keyword,
  new_name,
  new_text,
  refusal,
  value_refusal,
)
from .suggest import suggestion
from .table import field_of, function_of, matches

CONFIGS = Path(__file__).parents[1] / 'configs'
SAVED = CONFIGS.parent / 'training' / 'saved.py'  # of --config=saved:FILE
# Parts to which an override may add, and the defaults of a new one.
NEW: dict[str, dict] = {
  'rewards.*': dict(function='', weight=1.0, kwargs={}),
  'optimizer.groups.*': dict(pattern='', lr=None, weight_decay=0.0),
  'feedback.inner': dict(function='', kwargs={}, init='', init_kwargs={}),
  'eval.sampling': {},
}


def resolved(path: str, overrides: Sequence[str]) -> Config:
  """The config of FILE.py[:ARGUMENT] with '--config.field=value' applied.

  FILE may be the bare name of one of experiments/configs, or `saved`. The table
  of fields (table.py) parses values, the signature of a function its
  keywords. ValueError for unknown fields and values that are not accepted.
  """
  return overridden(load_config(path), overrides, path)


def overridden(config: Config, overrides: Sequence[str], path: str) -> Config:
  """The config with '--config.field=value' applied; it is changed. Errors name
  it `path`."""
  pairs = map(_name_and_text, joined(overrides))
  values = dict(field for pair in pairs for field in _fields(config, *pair))
  with config.unlocked(), config.ignore_type():
    # The functions first: their signatures parse their keywords.
    for name in sorted(values, key=lambda name: bool(function_of(name))):
      _set(config, name, values[name], path)
    for name, value in leaves(config):
      _assign(config, name, _expanded(name, value))
  return config.lock()


def joined(words: Sequence[str]) -> list[str]:
  """The options of a command line, where '--config.field value' is
  '--config.field=value'."""
  options: list[str] = []
  for word in words:
    last = options[-1] if options else ''
    is_value = not re.match('-[^0-9.]', word)  # a number may be negative
    if last.startswith('--config.') and '=' not in last and is_value:
      options[-1] = f'{last}={word}'
    else:
      options.append(word)
  return options


def kind_of(config: Config) -> str:
  """The config with the defaults of this one: 'rl', 'sft' or 'lrt'."""
  if 'sft_answers_dir' in config.get('data', {}):
    return 'lrt'
  return 'sft' if 'curriculum' in config else 'rl'


def load_config(path: str) -> Config:
  """The config of FILE.py[:ARGUMENT], without overrides."""
  file, colon, argument = path.partition(':')
  if colon and not argument:
    raise ValueError(
      f'--config={path}: the argument after the colon is empty: write '
      f'{path}MODEL, or {file} for its default model'
    )
  file = Path(file).expanduser()
  by_name = file.parent.name in ('', 'configs') and file.suffix in ('', '.py')
  if not file.is_file() and str(file.with_suffix('')) == 'saved':
    file = SAVED
  elif not file.is_file() and by_name:
    file = CONFIGS / f'{file.stem}.py'  # by its bare name, in any folder
  if not file.is_file():
    known = sorted(x.stem for x in CONFIGS.glob('[a-z]*.py'))
    raise ValueError(
      f'--config: there is no file {path.partition(":")[0]!r}: write a file, '
      f'saved:WORKDIR/config.json, or one of {known}'
    )
  # Named as a module of our package, so that copies of our configs keep their
  # relative imports.
  folder = 'training' if file == SAVED else 'configs'
  name = f'{PACKAGE}.{folder}.config_{file.stem}'
  spec: Any = importlib.util.spec_from_file_location(name, file)
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except Exception as error:  # importing a file may raise anything
    raise ValueError(load_error(file, error)) from error
  if not hasattr(module, 'get_config'):
    raise ValueError(
      f'--config: {file} defines no get_config(argument): write one that '
      f'returns a ConfigDict, as {PACKAGE}.configs.rl does'
    )
  try:
    config = module.get_config(argument) if colon else module.get_config()
  except (AttributeError, KeyError, NameError, TypeError) as error:
    raise ValueError(call_error(file, error, bool(colon))) from error
  if not isinstance(config, (ConfigDict, Mapping)):
    raise ValueError(
      f'--config: get_config of {file} returns {config!r:.80}: write one that '
      'returns a ConfigDict'
    )
  return config if isinstance(config, ConfigDict) else ConfigDict(config)


def leaves(config: Config, prefix: str = '') -> Iterator[tuple[str, Any]]:
  """The fields by their dotted names, empty parts included."""
  for name, value in config.items():
    if isinstance(value, ConfigDict) and value:
      yield from leaves(value, f'{prefix}{name}.')
    else:
      yield prefix + name, {} if isinstance(value, ConfigDict) else value


def function_at(config: Config, part: str) -> tuple[str, str, Role]:
  """For 'objective.kwargs': the field that names its function, the value of the
  field, and its role."""
  before, _, keywords = part.rpartition('.')
  for name, role in ROLES.items():
    field = f'{before}.{name.rpartition(".")[2]}'
    if role.keywords == keywords and matches(field, name):
      return field, at(config, field), role
  raise ValueError(f'config.{part} has no function')


def _name_and_text(override: str) -> tuple[str, str]:
  name, equals, text = override.partition('=')
  if not equals or not name.startswith('--config.'):
    raise ValueError(f'{override!r}: write --config.FIELD=VALUE')
  return name.removeprefix('--config.'), text


def _fields(config: Config, name: str, text: str) -> Iterator[tuple[str, str]]:
  """The fields of an override; those of a part such as mesh={"data": 2} one by
  one."""
  is_part = isinstance(at(config, name), ConfigDict) or _new(config, name)
  below = {}
  if is_part and not field_of(name) and not function_of(name):
    with suppress(ValueError):
      below = parsed(Kwargs, text)
  for key, value in below.items():
    value = value if isinstance(value, str) else repr(value)
    yield from _fields(config, f'{name}.{key}', value)
  if not below:
    yield name, text


def _set(config: Config, name: str, text: str, path: str) -> None:
  """Parses and sets a value."""
  new = _new_name(config, name)
  if new != name:
    if not isinstance(at(config, new), ConfigDict):
      _annotation(config, new, path)  # this config may have no such field
    option = f'--config.{new}={new_text(name, text)}'
    raise Renamed(refusal(name, new, option), f'config.{new}')
  annotation = _annotation(config, name, path)
  try:
    value = parsed(annotation, text)
  except ValueError as error:
    if (new := new_text(name, text)) != text:
      refused = value_refusal(name, text, new, '--')
      raise Renamed(refused, f'config.{name}={new}') from None
    raise ValueError(f'config.{name} is {text!r}: {error}') from None
  _assign(config, name, value)


def _annotation(config: Config, name: str, path: str) -> Any:
  """The annotation of a field of this config; ValueError where it has no such
  field. Adds the part of a new reward, optimizer group or inner feedback."""
  part, _, _ = name.rpartition('.')
  value, entry = at(config, name), field_of(name)
  known = [field for field, _ in leaves(config)]
  if keyword := function_of(name):
    taken, others = _keywords(config, keyword[0])
    if others or keyword[1] in taken:
      return taken.get(keyword[1], Any)
    known = [f'{keyword[0]}.{other}' for other in taken] or known
  elif value is None and entry and (new := _new(config, part)) is not None:
    if at(config, part) is None:
      _assign(config, part, new)
    return entry.annotation
  elif entry and (value is not None or name in known):
    return entry.annotation
  elif value is not None and not isinstance(value, ConfigDict):
    return type(value)
  elif name in known:
    return Any
  other = ', which other configs have' if entry else ''
  raise ValueError(
    f'{path} has no field config.{name}{other}: {suggestion(name, known)}'
  )


def _new_name(config: Config, name: str) -> str:
  """Today's name of a field or a keyword; unchanged where the config's own
  function takes a keyword of this name."""
  new = new_name(name)
  if keyword := function_of(new):
    part, old = keyword
    if isinstance(at(config, part), ConfigDict):
      _, spec, _ = function_at(config, part)
      taken, _ = _keywords(config, part)
      word = old if old in taken else new_keyword(spec, old)
      return f'{part}.{word}'
  return new


def _keywords(config: Config, part: str) -> tuple[dict[str, Any], bool]:
  """The keywords of the function of `part`, and whether it takes others."""
  if isinstance(at(config, part), ConfigDict):
    field, spec, role = function_at(config, part)
    if spec:
      return keywords(resolved_function(field, role, spec), role)
  return {}, False


def _new(config: Config, part: str) -> dict | None:
  """The defaults of a part that may be added to this config; else None."""
  whole, _, _ = part.rpartition('.')
  return next(
    (
      new
      for pattern, new in NEW.items()
      if matches(part, pattern) and at(config, whole) is not None
    ),
    None,
  )


def at(config: Config, name: str) -> Any:
  """The value of a dotted field; None where there is none."""
  for key in name.split('.'):
    config = config.get(key) if isinstance(config, ConfigDict) else None
  return config


def _assign(config: Config, name: str, value: Any) -> None:
  part, _, last = name.rpartition('.')
  (at(config, part) if part else config)[last] = value


def _expanded(name: str, value: Any) -> Any:
  """The value with '~' of a path expanded."""
  if entry := field_of(name):
    return expanded(entry.annotation, value)
  is_path = isinstance(value, str) and value.startswith('~/')
  return os.path.expanduser(value) if is_path else value
