"""A run again, from the config.json that it left in its folder.

    python -m experiments.grpo --workdir=runs/again \
        --config=saved:runs/hrpo/config.json

It is read wherever that command runs: paths, and modules of one's own, are
found where the run found them.
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
from ..fields.overrides import leaves
from ..fields.renamed import renamed_config
from ..fields.table import field_of
from .cli import Config


def get_config(argument: str) -> Config:
  """The config of a run's config.json. ValueError where it is not one,
  FileNotFoundError where it is not there."""
  try:
    about = json.loads(Path(argument).read_text('utf-8'))
    return relocated(from_fields(about['config']), about)
  except IsADirectoryError as error:
    raise ValueError(
      f'{argument} is a folder: write the config.json in it'
    ) from error
  except (
    *(ValueError, KeyError, TypeError, AttributeError, RecursionError),
  ) as error:
    raise ValueError(
      f'{argument} is no config.json of a run ({type(error).__name__}: {error})'
      ': write the file that a trainer has left in its --workdir'
    ) from error


def from_fields(fields: dict) -> Config:
  """JSON has no tuples, and the configs have no lists; fields may have had
  other names."""

  def frozen(value):
    if isinstance(value, dict):
      return {name: frozen(x) for name, x in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value

  return ConfigDict(frozen(renamed_config(fields))).lock()


def relocated(config: Config, about: Mapping[str, Any]) -> Config:
  """The config with the relative paths that exist in `cwd` of a config.json
  made absolute; its `path` joins the search path of modules."""
  folder = about.get('cwd')
  sys.path += [x for x in about.get('path') or () if x not in sys.path]
  if not folder or folder == os.getcwd():
    return config
  there, found = partial(_there, folder), {}
  for name, value in leaves(config):
    if isinstance(value, str) and ('/' in value or Path(value).suffix):
      found[name] = there(value)
    elif entry := field_of(name):
      found[name] = expanded(entry.annotation, value, there)
  with config.unlocked():
    config.update_from_flattened_dict(found)
  return config


def _there(folder: str, path: str) -> str:
  """A path that is not empty, in `folder` where it exists there."""
  found = os.path.join(folder, path)
  return found if path and os.path.exists(found) else path
