"""Repeats a run from the config.json in its --workdir.

    python -m experiments.grpo --workdir=runs/again \
        --config=saved:runs/hrpo/config.json

The command may run in any folder: relative paths and your own modules are
resolved as the run resolved them.
"""

import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ..fields.accepted import expanded
from ..fields.check import missing_fields
from ..fields.overrides import at, leaves
from ..fields.renamed import renamed_config
from ..fields.table import field_of
from .cli import Config


def get_config(argument: str) -> Config:
  """The config of a run's config.json. ValueError where it is none,
  FileNotFoundError where it is missing."""
  try:
    about = json.loads(Path(argument).read_text('utf-8'))
    return relocated(from_fields(about['config']), about)
  except FileNotFoundError as error:
    raise FileNotFoundError(
      f'{argument} does not exist: write the config.json in the --workdir of a '
      'run'
    ) from error
  except IsADirectoryError as error:
    raise ValueError(
      f'{argument} is a folder: write the config.json in it'
    ) from error
  except (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
  ) as error:
    raise ValueError(
      f'{argument} is no config.json of a run ({type(error).__name__}: {error})'
      ': write the file that a trainer has left in its --workdir'
    ) from error


_NEW_PARTS = ('profile',)  # of every run of today


def from_fields(fields: dict) -> Config:
  """The config of fields from JSON: lists become tuples, old names of fields
  today's, and fields of later versions have their defaults."""

  def frozen(value):
    if isinstance(value, dict):
      return {name: frozen(x) for name, x in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value

  values: Any = frozen(renamed_config(fields))
  config = ConfigDict(values)
  for name, default in [*missing_fields(config)]:
    part, _, last = name.rpartition('.')
    if part in _NEW_PARTS and part not in config:
      config[part] = ConfigDict()
    group: Any = at(config, part) if part else config
    if group is not None:  # else the run had no use for the whole part
      group[last] = default
  return config.lock()


def relocated(config: Config, about: Mapping[str, Any]) -> Config:
  """The config whose relative paths that exist in `cwd` of a config.json are
  absolute; appends `path` of that to the search path of modules."""
  folder = about.get('cwd')
  sys.path += [x for x in about.get('path') or () if x not in sys.path]
  if not folder or folder == os.getcwd():
    return config
  relocate, values = partial(_relocated, folder), {}
  for name, value in leaves(config):
    if isinstance(value, str) and ('/' in value or Path(value).suffix):
      values[name] = relocate(value)
    elif entry := field_of(name):
      values[name] = expanded(entry.annotation, value, relocate)
  with config.unlocked():
    config.update_from_flattened_dict(values)
  return config


def _relocated(folder: str, path: str) -> str:
  """The path in `folder` where it exists, else unchanged."""
  absolute = os.path.join(folder, path)
  return absolute if path and os.path.exists(absolute) else path
