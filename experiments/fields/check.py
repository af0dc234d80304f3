"""Whether a config can be run, before anything is loaded."""

from collections.abc import Iterator

from experiments.fields.accepted import accepts, described
from experiments.fields.functions import (
  ROLES,
  Role,
  check_keywords,
  resolved_function,
)
from experiments.fields.overrides import at, leaves
from experiments.fields.rules import RULES
from experiments.fields.table import field_of, matches
from experiments.functions import Config


def check(config: Config, command: str, hosts: int = 1) -> None:
  """ValueError, with the field, its value and what is accepted, for a config
  that this command cannot run: each field by itself, the functions that it
  names, and fields that contradict each other."""
  for name, value in leaves(config):
    entry = field_of(name)
    if entry and not accepts(entry.annotation, value):
      raise ValueError(
        f'config.{name} is {value!r}: write {described(entry.annotation)}'
      )
  rules, later = RULES.get(command, ()), []
  for rule in rules:
    if ROLES.keys() & rule.fields:
      later.append(rule)  # it may ask the function itself
    else:
      rule.check(config, hosts)
  for field, role in _roles(config):
    if spec := at(config, field):
      function = resolved_function(field, role, spec)
      part = f'{field.rpartition(".")[0]}.{role.keywords}'
      given = at(config, part) or {}
      check_keywords(part, spec, function, role, given)
  for rule in later:
    rule.check(config, hosts)


def _roles(config: Config) -> Iterator[tuple[str, Role]]:
  """The fields that name functions."""
  for name, _ in leaves(config):
    for pattern, role in ROLES.items():
      if matches(name, pattern):
        yield name, role
