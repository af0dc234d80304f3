"""The command line of the trainers, and the functions that a config names."""

import importlib
import pkgutil
from collections.abc import Callable
from functools import partial
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

Config = Any  # a ConfigDict: its fields are those of the config file


def run(train: Callable[[Config, str], object]) -> None:
  """`train(config, workdir)` with `--config=FILE.py[:ARGUMENT]`, any number of
  `--config.field=value`, and `--workdir=FOLDER`."""
  config = config_flags.DEFINE_config_file('config', lock_config=True)
  workdir = flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.mark_flags_as_required(['config', 'workdir'])

  def main(argv):
    if argv[1:]:
      raise app.UsageError(f'{argv[1:]}: options begin with --')
    logging.set_verbosity(logging.WARNING)  # Orbax tells every rename
    train(config.value, str(workdir.value))

  app.run(main)


def named(spec: str, package: str) -> Callable:
  """The function of 'module:function'. A module without a dot is one of
  `package` ('gated:gated' in hybrid_latent.feedback); with dots it is any
  installed module, so that an idea can live in your own project."""
  module_name, colon, name = spec.partition(':')
  if not colon or not name:
    raise ValueError(f"{spec!r}: write 'module:function'; {_choices(package)}")
  full = module_name if '.' in module_name else f'{package}.{module_name}'
  try:
    module = importlib.import_module(full)
  except ModuleNotFoundError as error:
    if not f'{full}.'.startswith(f'{error.name}.'):
      raise  # it is there, and misses something itself
    raise ValueError(
      f'{spec!r}: no module {full}; {_choices(package)}'
    ) from None
  public = {
    n: f
    for n, f in vars(module).items()
    if callable(f) and f.__module__ == full and n[0] != '_'
  }
  found = getattr(module, name, None)
  if not callable(found):
    raise ValueError(f'{spec!r}: {full} has {list(public)}')
  return found


def configured(part: Config, package: str) -> Callable:
  """The function that a part of a config names, with its `kwargs`."""
  return partial(named(part.function, package), **part.kwargs)


def _choices(package: str) -> str:
  paths = importlib.import_module(package).__path__
  return f'{package} has {[m.name for m in pkgutil.iter_modules(paths)]}'
