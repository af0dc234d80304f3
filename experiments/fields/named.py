"""Imports the functions that a config names."""

import importlib
import os
import pkgutil
from collections.abc import Callable
from functools import partial
from typing import Any

Config = Any  # a ConfigDict: its fields are those of the config file


def named(spec: str, package: str) -> Callable:
  """The function of 'module:function'. A module without a dot is one of
  `package` ('gated:gated' in hybrid_latent.feedback) or, where that has none,
  one of the working directory; with dots it is any module that can be imported,
  such as one of your own project."""
  name, colon, function = spec.partition(':')
  words = [*name.split('.'), function]
  if not colon or not all(map(str.isidentifier, words)):
    raise ValueError(f"{spec!r}: write 'module:function'; {_choices(package)}")
  modules = module_names(name, package)
  module = next(filter(None, map(_imported, modules)), None)
  if module is None:
    raise ValueError(
      f'{spec!r}: no module {" and no module ".join(modules)} in '
      f'{os.getcwd()} or installed; {_choices(package)}'
    )
  result = getattr(module, function, None)
  if not callable(result):
    public = [
      n
      for n, f in vars(module).items()
      if callable(f) and f.__module__ == module.__name__ and n[0] != '_'
    ]
    raise ValueError(f'{spec!r}: {module.__name__} has {public}')
  return result


def module_names(name: str, package: str) -> list[str]:
  """The modules that the module of a 'module:function' may be, in order."""
  return [name] if '.' in name else [f'{package}.{name}', name]


def configured(part: Config, package: str) -> Callable:
  """The function of a config part, with its `kwargs` bound."""
  return partial(named(part.function, package), **part.kwargs)


def composed(part: Config, package: str) -> Callable:
  """The function of a config part, around that of its `inner` if it has
  one."""
  function = configured(part, package)
  if 'inner' in part:
    return partial(function, inner=composed(part.inner, package))
  return function


def problems_of(data: Config) -> Callable:
  """(split) -> its rows, by `data.function`."""
  rows = named('sources:rows', 'hybrid_latent.data')
  function = named(data.function, 'hybrid_latent.data')
  files = {name: data[name] for name in ('path', 'fields') if name in data}
  return partial(
    rows, function, data.function, of=data.kwargs.to_dict(), **files
  )


def _imported(name: str):
  """The module; None where none has this name."""
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as error:
    if not f'{name}.'.startswith(f'{error.name}.'):
      raise  # the module exists, and an import in it fails
    return None


# Modules with nothing that a config names.
_UNNAMED = 'base', 'controls', 'mixtures', 'observed'


def _choices(package: str) -> str:
  paths = importlib.import_module(package).__path__
  names = [module.name for module in pkgutil.iter_modules(paths)]
  return f'{package} has {[name for name in names if name not in _UNNAMED]}'
