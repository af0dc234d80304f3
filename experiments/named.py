"""A config names the function it wants: 'module:function'."""

import importlib
import inspect
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
    if error.name and not full.startswith(error.name):
      raise
    raise ValueError(
      f'{spec!r}: no module {full}; {_choices(package)}'
    ) from None
  if not hasattr(module, name):
    public = [
      n
      for n, f in vars(module).items()
      if inspect.isroutine(f) and f.__module__ == full and n[0] != '_'
    ]
    raise ValueError(f'{spec!r}: {full} has {public}')
  return getattr(module, name)


def _choices(package: str) -> str:
  paths = importlib.import_module(package).__path__
  return f'{package} has {[m.name for m in pkgutil.iter_modules(paths)]}'
