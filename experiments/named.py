"""A config names the function it wants: 'module:function'."""

import importlib
import pkgutil
from collections.abc import Callable


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


def _choices(package: str) -> str:
  paths = importlib.import_module(package).__path__
  return f'{package} has {[m.name for m in pkgutil.iter_modules(paths)]}'
