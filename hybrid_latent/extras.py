"""Errors for packages of an extra that is not installed."""

from importlib.util import find_spec


def needs(extra: str, *packages: str) -> None:
  """ModuleNotFoundError with the pip command, where one is not installed."""
  for package in packages:
    if find_spec(package) is None:
      raise missing(extra, package)


def missing(extra: str, package: str | None) -> ModuleNotFoundError:
  """The error for a package that belongs to an extra."""
  return ModuleNotFoundError(
    f'{package} is not installed: pip install "hybrid-latent[{extra}]", '
    f'or in a checkout: pip install ".[{extra}]"',
    name=package,
  )
