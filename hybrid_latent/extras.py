"""What the base install leaves out, by the name under which pip has it."""

from importlib.util import find_spec


def needs(extra: str, *packages: str) -> None:
  """ModuleNotFoundError that says what to install, where one is not there."""
  for package in packages:
    if find_spec(package) is None:
      raise missing(extra, package)


def missing(extra: str, package: str | None) -> ModuleNotFoundError:
  """The error for a package that belongs to an extra."""
  return ModuleNotFoundError(
    f'{package} is not installed: pip install "hybrid-latent[{extra}]"',
    name=package,
  )
