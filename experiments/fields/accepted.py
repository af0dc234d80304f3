"""Annotations of config values: check, description, and parsing of text.

Fields of a config (table.py) and arguments of the functions that it names have
the same annotations: `PositiveInt`, `Literal['token', 'sequence']`,
`tuple[UnitFloat, ...]`, `float | None`, `Annotated[str, Pattern]`.
"""

import ast
import json
import math
import operator
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union

from hybrid_latent.ranges import REGEX, Range

PATH, NAMED_PATH, NOT_EMPTY = 'path', 'named path', 'not empty'
Path = Annotated[str, PATH]  # '~' is the home folder
NamedPath = Annotated[str, NAMED_PATH]
Text = Annotated[str, NOT_EMPTY]
Folder = Annotated[Path, NOT_EMPTY]
Kwargs = dict[str, Any]


class Field(NamedTuple):
  """A field of a config."""

  annotation: Any  # of its accepted values
  about: str  # one sentence


_WORDS: dict[Any, str] = {
  int: 'an integer',
  float: 'a number',
  bool: 'True or False',
  str: 'text',
  dict: 'NAME=VALUE,NAME=VALUE',
  NOT_EMPTY: 'text that is not empty',
  PATH: 'a path',
  NAMED_PATH: 'NAME=FOLDER',
  REGEX: 'a regular expression',
}
# A comma outside of brackets.
_SEPARATOR = re.compile(r',(?![^()\[\]{}]*[)\]}])')
_BOUNDS = (  # of the first fields of a Range: text and check
  ('>=', operator.ge),
  ('>', operator.gt),
  ('<=', operator.le),
  ('<', operator.lt),
)


def accepts(annotation: Any, value: Any) -> bool:
  """Whether the annotation accepts a value. True for annotations of values that
  no config has, such as arrays."""
  kind, parts, marks = _unpacked(annotation)
  if kind is Literal:
    return any(type(x) is type(value) and x == value for x in parts)
  if kind is Union:
    return any(accepts(part, value) for part in parts)
  if kind is type(None):
    return value is None
  if kind is tuple:
    return isinstance(value, tuple) and _each_accepts(parts, value)
  if kind is dict:
    return isinstance(value, Mapping)
  if kind is float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and _in_range(value, marks)
  if kind is int:
    return type(value) is int and _in_range(value, marks)
  if kind is str:
    return isinstance(value, str) and all(_is_text(m, value) for m in marks)
  if kind is bool:
    return type(value) is bool
  return not isinstance(value, float) or math.isfinite(value)


def described(annotation: Any) -> str:
  """The accepted values of the annotation as text."""
  kind, parts, marks = _unpacked(annotation)
  if kind is Literal:
    return _either([repr(part) for part in parts])
  if kind is Union:
    return _either([described(part) for part in parts])
  if kind is type(None):
    return 'None'
  if kind is tuple:
    if parts[1:] == (...,):
      return f'a tuple of values, each {described(parts[0])}'
    return f'({", ".join(map(described, parts))})'
  for mark in marks:
    if isinstance(mark, Range):
      return _WORDS[kind] + _limits(mark)
    if mark in _WORDS:
      return _WORDS[mark]
  return _WORDS.get(kind, 'a Python literal')


def parsed(annotation: Any, text: str) -> Any:
  """The value of `text` on a command line; ValueError where the annotation
  accepts none of its interpretations."""
  for value in _candidates(annotation, text):
    if accepts(annotation, value):
      return _converted(annotation, value)
  raise ValueError(f'write {described(annotation)}')


def expanded(
  annotation: Any,
  value: Any,
  path_of: Callable[[str], str] = os.path.expanduser,
) -> Any:
  """The value with `path_of` applied to its paths: expands '~'."""
  kind, parts, marks = _unpacked(annotation)
  if isinstance(value, tuple) and kind is tuple:
    return tuple(expanded(parts[0], x, path_of) for x in value)
  if not isinstance(value, str):
    return value
  if PATH in marks:
    return path_of(value)
  if NAMED_PATH in marks:
    name, equals, path = value.partition('=')
    return f'{name}{equals}{path_of(path)}'
  return value


def _unpacked(annotation) -> tuple[Any, tuple, tuple]:
  """The origin, the arguments, and the metadata of Annotated."""
  marks = ()
  while typing.get_origin(annotation) is Annotated:
    marks += annotation.__metadata__
    annotation = annotation.__origin__
  kind = typing.get_origin(annotation) or annotation
  if kind is types.UnionType:
    kind = Union
  if kind is None:
    kind = type(None)
  return kind, typing.get_args(annotation), marks


def _each_accepts(parts, value) -> bool:
  if parts[1:] == (...,):
    parts = parts[:1] * len(value)
  return len(parts) == len(value) and all(map(accepts, parts, value))


def _in_range(value, marks) -> bool:
  bounds = next((mark for mark in marks if isinstance(mark, Range)), Range())
  if isinstance(value, int) and abs(value) >= 2**63:
    return False  # above int64
  if not math.isfinite(value):
    return bounds.infinite and value < 0
  return all(
    bound is None or holds(value, bound)
    for bound, (_, holds) in zip(bounds, _BOUNDS, strict=False)
  )


def _is_text(mark, value) -> bool:
  if mark == REGEX:
    try:
      re.compile(value)
    except (re.error, RecursionError, OverflowError):
      return False
  if mark == NAMED_PATH:
    name, _, path = value.partition('=')
    return bool(name and path)
  return bool(value.strip()) or mark != NOT_EMPTY


def _limits(bounds: Range) -> str:
  texts = [
    f'{word} {bound}'
    for bound, (word, _) in zip(bounds, _BOUNDS, strict=False)
    if bound is not None
  ]
  text = f' {" and ".join(texts)}' if texts else ''
  return f'{text} or -inf' if bounds.infinite else text


def _either(parts: list[str]) -> str:
  *first, last = parts
  return f'{", ".join(first)} or {last}' if first else last


def _candidates(annotation, text):
  """The values that a text may stand for, the most likely first."""
  kind, parts, _ = _unpacked(annotation)
  kinds = {_unpacked(x)[0] for x in parts} if kind is Union else {kind}
  literal = _literal(text)
  if literal is None and type(None) in kinds:
    yield None
  if kinds != {str}:
    yield literal
  yield '' if literal is None and kinds == {str} else text
  if tuple in kinds:  # one value, or words as in a,b
    words = tuple(map(str.strip, text.split(',')))
    empty = literal is None or not text.strip()
    yield () if empty else words if literal is text else (literal,)
  if dict in kinds:
    pairs = [pair.partition('=') for pair in _SEPARATOR.split(text)]
    if all(equals and name.strip().isidentifier() for name, equals, _ in pairs):
      yield {name.strip(): _literal(x.strip()) for name, _, x in pairs}


def _literal(text: str) -> Any:
  """The literal of Python or JSON; the text itself where it is neither."""
  try:
    return _tuples(ast.literal_eval(text))
  except (SyntaxError, ValueError, MemoryError, RecursionError, TypeError):
    pass
  if text.lower() in ('true', 'false'):
    return text.lower() == 'true'
  if text.lstrip('+-').lower() in ('inf', 'nan'):
    return float(text)
  try:
    return _tuples(json.loads(text))
  except (ValueError, RecursionError):
    return text


def _tuples(value: Any) -> Any:
  """The value with sequences as tuples, which configs have."""
  if isinstance(value, dict):
    return {name: _tuples(x) for name, x in value.items()}
  if isinstance(value, (list, tuple)):
    return tuple(map(_tuples, value))
  return value


def _converted(annotation, value):
  """The value with integers as floats where the annotation is float, so that a
  config has one representation."""
  kind, parts, _ = _unpacked(annotation)
  if kind is float:
    return float(value)
  if kind is Union:
    return _converted(next(p for p in parts if accepts(p, value)), value)
  if kind is tuple:
    parts = parts[:1] * len(value) if parts[1:] == (...,) else parts
    return tuple(map(_converted, parts, value))
  return value
