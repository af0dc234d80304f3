"""What the functions that a config names accept, by their signatures."""

import difflib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..training.functions import named
from .accepted import accepts, described
from .renamed import new_keyword, refusal

FEEDBACK, DATA = 'hybrid_latent.feedback', 'hybrid_latent.data'
OBJECTIVES, REWARDS = 'hybrid_latent.objectives', 'hybrid_latent.rewards'
SIGNATURE = 'def reward(completions, *, answer, **columns) -> list'


class Role(NamedTuple):
  """A field that names a function."""

  keywords: str  # the field of its keywords, beside it
  package: str  # where a module without a dot is looked for
  positional: int  # arguments that it is given by their places,
  given: tuple[str, ...] = ()  # and by their names


ROLES = {
  'feedback.function': Role('kwargs', FEEDBACK, 0, ('inside',)),
  'feedback.init': Role('init_kwargs', FEEDBACK, 3, ('inner',)),
  'objective.function': Role('kwargs', OBJECTIVES, 1),
  'advantage.function': Role('kwargs', OBJECTIVES, 2),
  'curriculum.function': Role('kwargs', 'hybrid_latent.curricula', 1),
  'rewards.*.function': Role('kwargs', REWARDS, 1, ('answer',)),
  'data.function': Role('kwargs', DATA, 0, ('split', 'path', 'fields')),
}


def resolved_function(field: str, role: Role, spec: str) -> Callable:
  """The function that a field names; ValueError, with the field, where it
  names none that can play its role."""
  try:
    found = named(spec, role.package)
  except ValueError as error:
    raise ValueError(f'config.{field}: {error}') from None
  except Exception as error:  # whatever a module does when it is imported
    raise ValueError(
      f'config.{field} is {spec!r}, and importing it ends in '
      f'{type(error).__name__}: {error}'
    ) from error
  if role.package == REWARDS:
    _check_reward(field, spec, found)
  return found


def keywords(function: Callable, role: Role) -> tuple[dict[str, Any], bool]:
  """The keywords that a config may give it, with the annotation of each, and
  whether it takes any other."""
  try:
    parameters = [*inspect.signature(function).parameters.values()]
  except (TypeError, ValueError):  # some that are written in C have none
    return {}, True
  try:
    hints = typing.get_type_hints(_wrapped(function), include_extras=True)
  except (AttributeError, NameError, TypeError):
    hints = {}
  variable = [p for p in parameters if p.kind is p.VAR_KEYWORD]
  # A reward takes columns that it does not read as `**_`.
  others = any(p.name != '_' or role.package != REWARDS for p in variable)
  kinds = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
  )
  taken = [p for p in parameters[role.positional :] if p.kind in kinds]
  names = [p.name for p in taken if p.name not in role.given]
  return {name: hints.get(name, Any) for name in names}, others


def check_keywords(
  field: str, spec: str, function: Callable, role: Role, given: Mapping
) -> None:
  """ValueError for a keyword that the function does not take, or does not take
  with this value."""
  known, others = keywords(function, role)
  for name, value in given.items():
    if name in role.given:
      raise ValueError(
        f'config.{field}.{name}={value!r}: {spec} is given it by the command: '
        f'write one of {[*known]}'
      )
    if name not in known:
      if others or role.package == DATA:
        continue  # a source is given those that it takes
      if (new := new_keyword(spec, name)) in known:
        old, new = f'{field}.{name}', f'{field}.{new}'
        raise ValueError(refusal(old, new, f'config.{new}={value!r}'))
      near = difflib.get_close_matches(name, known, n=1)
      advice = f'write {near[0]}' if near else f'write --config.{field}={{}}'
      raise ValueError(
        f'config.{field}.{name}={value!r}: {spec} takes {[*known] or "none"}: '
        f'{advice}'
      )
    if not accepts(known[name], value):
      raise ValueError(
        f'config.{field}.{name} is {value!r}: write {described(known[name])}'
      )
  if role.package == REWARDS and function.__module__.startswith(REWARDS):
    try:  # ours say what they do not accept before they look at anything
      function([], answer=[], completion_ids=[], **given)
    except ValueError as error:
      raise ValueError(f'config.{field} is {dict(given)}: {error}') from None
  elif role.package not in (DATA, REWARDS):  # these are given columns, too
    _check_call(field, spec, function, role, given)


def _check_call(field, spec, function, role, given) -> None:
  """Whether it can be called with what the command and the config give."""
  try:
    signature = inspect.signature(function)
  except (TypeError, ValueError):
    return
  ours = {x: None for x in role.given if x in signature.parameters}
  try:
    signature.bind(*[None] * role.positional, **{**given, **ours})
  except TypeError as error:
    raise ValueError(
      f'config.{field} is {dict(given)}, and {spec} is called with '
      f'{role.positional} arguments and these: {error}: write what it takes, '
      'or another function'
    ) from None


def _wrapped(function: Callable) -> Callable:
  """What has the annotations: of a class, how it is made."""
  function = inspect.unwrap(function)
  return function.__init__ if inspect.isclass(function) else function


def _check_reward(field: str, spec: str, function: Callable) -> None:
  """A grader calls it in another process, by the name of its module."""
  plain = inspect.isfunction(inspect.unwrap(function))
  if not plain or inspect.iscoroutinefunction(function):
    kind = 'no function written in Python' if not plain else 'async'
    raise ValueError(
      f'config.{field} is {spec!r}, which is {kind}: write {SIGNATURE}'
    )
  parameters = [*inspect.signature(function).parameters.values()]
  first = parameters[0].name if parameters else ''
  names = {p.name for p in parameters}
  if (
    not any(p.kind is p.VAR_KEYWORD for p in parameters)
    or parameters[0].kind is inspect.Parameter.VAR_KEYWORD
    or ('completions' in names and first != 'completions')
  ):
    raise ValueError(
      f'config.{field} is {spec!r}, whose arguments are ({", ".join(names)}): '
      f'it is called with completions and every column of the data, so write '
      f'{SIGNATURE}'
    )
  if '.' not in spec and function.__module__.startswith(f'{REWARDS}.'):
    raise ValueError(
      f"config.{field} is {spec!r}: write '{REWARDS}.{spec}', whole"
    )
