"""Error texts for config files that end in an exception."""

import re
import traceback
from pathlib import Path

from .. import PACKAGE
from .renamed import FIELDS, new_name

# In a checkout, and in a wheel, where another package may have the first name.
_PACKAGES = 'experiments', 'hybrid_latent.experiments'
_KEY = re.compile(r'Key "(\w+)" does not exist')


def load_error(file: Path, error: Exception) -> str:
  """The error text for a file that cannot be executed."""
  text = f'--config: {file} ends in {type(error).__name__}: {error}'
  name = (getattr(error, 'name', None) or '') + '.'
  for package in _PACKAGES:
    if package != PACKAGE and name.startswith(f'{package}.'):
      return f'{text}: write from {PACKAGE}.configs import ...'
  return f'{text}: fix it'


def call_error(file: Path, error: Exception, has_argument: bool) -> str:
  """The error text for a `get_config` that raises."""
  frames = traceback.extract_tb(error.__traceback__)
  lines = [frame.lineno for frame in frames if frame.filename == str(file)]
  place = f'{file}, line {lines[-1]},' if lines else f'{file}'
  if (found := _KEY.search(str(error))) and (renamed := _renamed(found[1])):
    return f'--config: get_config of {place} sets an old name: {renamed}'
  reason, cut, _ = str(error).partition('. Other fields present')
  reason = reason.strip('\'"') if cut else reason
  text = (
    f'--config: get_config of {place} ends in {type(error).__name__}: {reason}'
  )
  needs_argument = isinstance(error, TypeError) and not has_argument
  argument = f', or write {file}:ARGUMENT as it takes one' * needs_argument
  return f'{text}: fix it{argument}'


def _renamed(word: str) -> str:
  """The new names of all fields with this old last word."""
  old = [name for name in FIELDS if name.rpartition('.')[2] == word]
  return ', '.join(
    f'config.{name} is called config.{new_name(name)} now' for name in old
  )
