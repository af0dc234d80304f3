"""A run again, from the config.json that it left in its folder.

    python -m experiments.grpo --workdir=runs/again \
        --config=experiments/saved.py:runs/hrpo/config.json
"""

import json
from pathlib import Path

from ml_collections import ConfigDict

from experiments.command import Config


def get_config(argument: str) -> Config:
  """The config of a run's config.json. ValueError where it is not one,
  FileNotFoundError where it is not there."""
  try:
    return from_fields(json.loads(Path(argument).read_text('utf-8'))['config'])
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
  """JSON has no tuples, and the configs have no lists."""

  def frozen(value):
    if isinstance(value, dict):
      return {name: frozen(x) for name, x in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value

  return ConfigDict(frozen(fields)).lock()
