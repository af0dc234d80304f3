"""Checks the functions of a config and their keywords by their signatures."""

import ast
import difflib
import importlib.util
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .accepted import accepts, described
from .named import module_names, named
from .renamed import FUNCTIONS, new_keyword, new_text, refusal, value_refusal

FEEDBACK, DATA = 'hybrid_latent.feedback', 'hybrid_latent.data'
OBJECTIVES, REWARDS = 'hybrid_latent.objectives', 'hybrid_latent.rewards'
SIGNATURE = 'def reward(completions, *, answer, **columns) -> list'

_SENTENCES = r'(?<!Dr\.)(?<=\.)\s+(?=[`A-Z])'


class Role(NamedTuple):
  """A field that names a function."""

  keywords: str  # the field of its keywords, beside it
  package: str  # of modules without a dot
  positional: int  # number of positional arguments from the command,
  given: tuple[str, ...] = ()  # and names of its keyword arguments


ROLES = {
  'feedback.function': Role('kwargs', FEEDBACK, 0, ('inside',)),
  'feedback.init': Role('init_kwargs', FEEDBACK, 3, ('inner',)),
  'objective.function': Role('kwargs', OBJECTIVES, 1, ('inner',)),
  'objective.init': Role('init_kwargs', OBJECTIVES, 2),
  'advantage.function': Role('kwargs', OBJECTIVES, 2),
  'curriculum.function': Role('kwargs', 'hybrid_latent.curricula', 1),
  'rewards.*.function': Role('kwargs', REWARDS, 1, ('answer',)),
  'data.function': Role('kwargs', DATA, 0, ('split', 'path', 'fields')),
}


def resolved_function(field: str, role: Role, spec: str) -> Callable:
  """The function that a field names; ValueError, with the field, where there is
  none or its signature does not fit the role."""
  try:
    function = named(spec, role.package)
  except ValueError as error:
    if new := FUNCTIONS.get(spec):
      raise ValueError(value_refusal(field, spec, new)) from None
    raise ValueError(f'config.{field}: {error}') from None
  except Exception as error:  # importing a module may raise anything
    raise ValueError(
      f'config.{field} is {spec!r}, and importing it ends in '
      f'{type(error).__name__}: {error}'
    ) from error
  if role.package == REWARDS:
    _check_reward(field, spec, function)
  return function


def keywords(function: Callable, role: Role) -> tuple[dict[str, Any], bool]:
  """The keywords that a config may set, with their annotations, and whether the
  function takes any other."""
  try:
    parameters = [*inspect.signature(function).parameters.values()]
  except (TypeError, ValueError):  # some functions in C have no signature
    return {}, True
  try:
    hints = typing.get_type_hints(_wrapped(function), include_extras=True)
  except (AttributeError, NameError, TypeError):
    hints = {}
  # The other keywords of a reward are the columns of the data.
  others = role.package != REWARDS and any(
    p.kind is p.VAR_KEYWORD for p in parameters
  )
  kinds = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
  )
  taken = [p for p in parameters[role.positional :] if p.kind in kinds]
  names = [p.name for p in taken if p.name not in role.given]
  return {name: hints.get(name, Any) for name in names}, others


def argument_text(spec: str, package: str, name: str) -> str:
  """The first sentence about an argument in the docstring of 'module:function'
  (its line `name: ...`, or the sentence that has the name in backquotes), and
  its annotation; '' where there is none. Reads the source, imports nothing."""
  function = _definition(spec, package)
  if function is None:
    return ''
  text = ast.get_docstring(function) or ''
  lines = re.finditer(r'^( *)([\w, ]+): (.*(?:\n\1 +\S.*)*)', text, re.M)
  found = [line[3] for line in lines if name in line[2].split(', ')]
  found += [
    sentence
    for paragraph in text.split('\n\n')
    for sentence in re.split(_SENTENCES, paragraph)
    if f'`{name}`' in sentence
  ]
  about = f'Keyword of {spec}'
  if found:
    words = re.split(_SENTENCES, ' '.join(found[0].split()))[0].rstrip('.')
    about = f'{words[0].upper()}{words[1:]}'
  given = function.args
  for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs):
    if argument.arg == name and argument.annotation:
      return f'{about}. Type: {ast.unparse(argument.annotation)}.'
  return f'{about}.'


def _definition(spec: str, package: str) -> ast.FunctionDef | None:
  module, _, function = spec.partition(':')
  for name in module_names(module, package):
    with suppress(ImportError, ValueError, SyntaxError, OSError):
      found = importlib.util.find_spec(name)
      if found is None or not found.origin:
        continue
      for node in ast.parse(Path(found.origin).read_text('utf-8')).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
          return node
  return None


def check_keywords(
  field: str, spec: str, function: Callable, role: Role, given: Mapping
) -> None:
  """ValueError for a keyword that the function does not take, or for a value
  that its annotation does not accept."""
  known, others = keywords(function, role)
  for name, value in given.items():
    if name in role.given:
      raise ValueError(
        f'config.{field}.{name}={value!r}: the command sets this argument of '
        f'{spec}: write one of {[*known]}'
      )
    if name not in known:
      if others or role.package == DATA:
        continue  # data sources are called with the keywords they take
      if (new := new_keyword(spec, name)) in known:
        old, new = f'{field}.{name}', f'{field}.{new}'
        text = new_text(old, repr(value))
        raise ValueError(refusal(old, new, f'config.{new}={text}'))
      near = difflib.get_close_matches(name, known, n=1)
      advice = f'write {near[0]}' if near else f'write --config.{field}={{}}'
      raise ValueError(
        f'config.{field}.{name}={value!r}: {spec} takes {[*known] or "none"}: '
        f'{advice}'
      )
    if not accepts(known[name], value):
      old = f'{field}.{name}'
      if (new := new_text(old, repr(value))) != repr(value):
        raise ValueError(value_refusal(old, repr(value), new))
      raise ValueError(
        f'config.{field}.{name} is {value!r}: write {described(known[name])}'
      )
  if role.package == REWARDS and function.__module__.startswith(REWARDS):
    try:  # our rewards check their keywords before the completions
      function([], answer=[], completion_ids=[], **given)
    except ValueError as error:
      raise ValueError(f'config.{field} is {dict(given)}: {error}') from None
  elif role.package not in (DATA, REWARDS):  # those depend on the columns
    _check_call(field, spec, function, role, given)


def _check_call(field, spec, function, role, given) -> None:
  """ValueError where the arguments of command and config do not bind."""
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
      f'{role.positional} arguments and these: {error}: write keywords that it '
      'takes, or another function'
    ) from None


def _wrapped(function: Callable) -> Callable:
  """The function with the annotations; for a class its `__init__`."""
  function = inspect.unwrap(function)
  return function.__init__ if inspect.isclass(function) else function


def _check_reward(field: str, spec: str, function: Callable) -> None:
  """ValueError for a reward that workers cannot import by its module's name, or
  that does not take completions and all columns."""
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
      'it is called with completions and every column of the data: write '
      f'{SIGNATURE}'
    )
  if '.' not in spec and function.__module__.startswith(f'{REWARDS}.'):
    raise ValueError(f"config.{field} is {spec!r}: write '{REWARDS}.{spec}'")
