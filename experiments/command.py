"""The command line of the trainers, and the functions that a config names."""

import argparse
import ast
import difflib
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags, logging
from flax.traverse_util import flatten_dict
from ml_collections import config_flags

from experiments.compilation_cache import keep_compiled
from hybrid_latent import cluster

Config = Any  # a ConfigDict: its fields are those of the config file


def run(
  train: Callable[[Config, str], object], *, resumes: bool = True
) -> None:
  """`train(config, workdir)` with `--config=FILE.py[:ARGUMENT]`, any number of
  `--config.field=value`, and `--workdir=FOLDER`; on all processes of a cluster
  (`cluster.join`), in a folder that is its own meanwhile (workdir.opened). The
  exit code is cluster.RESTART where the same command should go on."""
  parser = argparse.ArgumentParser(
    usage='python -m experiments.TRAINER --config=FILE.py[:ARGUMENT] '
    '--workdir=FOLDER [--config.FIELD=VALUE ...]',
    allow_abbrev=False,
  )
  parser.add_argument('--config', required=True)
  parser.add_argument('--workdir', required=True)
  known, overrides = parser.parse_known_args()
  try:
    config = resolved(known.config, overrides)
    if cluster.expected():
      if not cluster.is_child():
        sys.exit(cluster.supervised(known.workdir))
      cluster.join()
  except ValueError as error:
    parser.error(str(error))
  logging.set_verbosity(logging.WARNING)  # Orbax tells every rename
  keep_compiled()
  # Late: it takes seconds, and imports this module.
  workdir = importlib.import_module('experiments.workdir')

  with (
    cluster.ending_together(known.workdir),
    workdir.opened(config, known.workdir, resumes=resumes),
  ):
    train(config, known.workdir)


def resolved(path: str, overrides: Sequence[str]) -> Config:
  """The config of FILE.py[:ARGUMENT] with '--config.field=value' applied.

  A value has the type of the field's default; where that is None, it is a
  Python literal. Raises ValueError for what there is not or cannot be.
  """
  if not Path(path.partition(':')[0]).is_file():
    raise ValueError(f'--config: there is no file {path.partition(":")[0]!r}')
  fields = flatten_dict(_parsed(path, []).to_dict(), sep='.')
  untyped = {}
  for override in overrides:
    name, equals, text = override.removeprefix('--config.').partition('=')
    if not equals or not override.startswith('--config.'):
      raise ValueError(f'{override!r}: write --config.field=value')
    if name not in fields:
      below = [field for field in fields if field.startswith(f'{name}.')]
      near = below or difflib.get_close_matches(name, fields, n=1, cutoff=0)
      raise ValueError(
        f'{path} has no field config.{name}: write config.{near[0]}'
      )
    if fields[name] is None:
      untyped[name] = _literal(name, text)
  typed = [x for x in overrides if x[9:].partition('=')[0] not in untyped]
  config = _parsed(path, typed)
  with config.unlocked(), config.ignore_type():
    config.update_from_flattened_dict(untyped)
  return config


def _parsed(path, overrides) -> Config:
  """By ml_collections, which checks the types."""
  values, argv = flags.FlagValues(), ['', f'--config={path}', *overrides]
  config = config_flags.DEFINE_config_file(
    'config', lock_config=True, flag_values=values, sys_argv=argv
  )
  try:
    values(argv)
  except flags.Error as error:  # it may hold a whole traceback
    raise ValueError(str(error).strip().splitlines()[-1]) from error
  return config.value


def _literal(name, text):
  try:
    return ast.literal_eval(text)
  except (SyntaxError, ValueError) as error:
    raise ValueError(
      f'config.{name}={text}: write a Python literal, such as 0.2 or (0.2, 0.3)'
    ) from error


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
