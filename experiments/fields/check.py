"""Checks a config before anything is loaded."""

from collections.abc import Iterator
from typing import Any

from hybrid_latent.extras import needs

from .. import PACKAGE
from .accepted import accepts, described
from .functions import (
  ROLES,
  Role,
  check_keywords,
  resolved_function,
)
from .named import Config
from .overrides import at, kind_of, leaves, load_config
from .renamed import new_name, new_text, refusal, value_refusal
from .rule import made_feedback
from .rules import RULES
from .suggest import suggestion
from .table import FIELDS, field_of, is_known, matches

OF_FILES = 'data.path', 'data.fields'  # of data.functions that read files
TRAINERS = 'grpo', 'sft', 'lrt'
# Tracker -> the extra and the package that it needs.
TRACKERS = {
  'tensorboard': ('train', 'tensorboardX'),
  'wandb': ('wandb', 'wandb'),
  'trackio': ('trackio', 'trackio'),
}


def check(config: Config, command: str, hosts: int = 1) -> None:
  """ValueError, with the field, its value and what is accepted, for a config
  that this command cannot run. Checks each field, the functions that are named,
  and the rules that relate fields."""
  for name, value in leaves(config):
    entry = field_of(name)
    if (new := new_name(name)) != name:
      text = new_text(name, repr(value))
      raise ValueError(refusal(name, new, f'config.{new}={text}'))
    if command in RULES and not entry and not is_known(name):
      raise ValueError(
        f'config.{name} is {value!r}, and no command reads it: '
        f'{suggestion(name, [*FIELDS])}, or leave it out'
      )
    if entry and not accepts(entry.annotation, value):
      if (text := new_text(name, repr(value))) != repr(value):
        raise ValueError(value_refusal(name, repr(value), text))
      raise ValueError(
        f'config.{name} is {value!r}: write {described(entry.annotation)}'
      )
  rules, later = RULES.get(command, ()), []
  if rules:
    rules[0].check(config, hosts)  # whether it is a config of this command
    _check_complete(config, command)
  for rule in rules:
    if ROLES.keys() & rule.fields:
      later.append(rule)  # it may call the function
    else:
      rule.check(config, hosts)
  for field, role in _roles(config):
    if spec := at(config, field):
      function = resolved_function(field, role, spec)
      part = f'{field.rpartition(".")[0]}.{role.keywords}'
      given = at(config, part) or {}
      check_keywords(part, spec, function, role, given)
  if 'feedback' in config:
    _check_feedback(config)
  for rule in later:
    rule.check(config, hosts)


def check_trackers(config: Config) -> None:
  """ModuleNotFoundError for a tracker whose package is not installed."""
  for tracker in config.trackers:
    needs(*TRACKERS[tracker])


def _check_complete(config: Config, command: str) -> None:
  """ValueError for a field of this kind of config that is missing. For a tool
  whole parts may be missing."""
  for name, _ in missing_fields(config):
    if command in TRAINERS or name.partition('.')[0] in config:
      raise ValueError(
        f'config.{name} is missing: begin with {PACKAGE}.configs.'
        f'{kind_of(config)}.defaults(source) in get_config, and change what '
        'differs'
      )


def missing_fields(config: Config) -> Iterator[tuple[str, Any]]:
  """The fields that this kind of config has and `config` lacks, with their
  defaults."""
  for name, default in leaves(load_config(kind_of(config))):
    part, _, last = name.rpartition('.')
    fields = at(config, part) if part else config
    free = part == 'eval.sampling' or name in OF_FILES or name not in FIELDS
    if not free and last not in (fields if fields is not None else ()):
      yield name, default


def _check_feedback(config: Config) -> None:
  """ValueError where config.feedback.function makes no Feedback."""
  spec = config.feedback.function
  try:
    made = made_feedback(config)
  except Exception as error:  # any function can be named
    made = f'{type(error).__name__}: {error}'
  if not hasattr(made, 'prefix'):
    within = ' with config.feedback.inner' * ('inner' in config.feedback)
    raise ValueError(
      f'config.feedback.function is {spec!r}, which{within} returns '
      f'{made!r:.80}: write one that returns a Feedback, such as gated:gated'
    )


def _roles(config: Config) -> Iterator[tuple[str, Role]]:
  """The fields that name functions."""
  for name, _ in leaves(config):
    for pattern, role in ROLES.items():
      if matches(name, pattern):
        yield name, role
