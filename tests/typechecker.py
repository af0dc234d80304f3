"""Checks the shapes and dtypes that annotations promise, for jaxtyping's hook.

What is no array is not checked here: a setting that is not accepted has an
error of ours, which the tests expect, and pyright reads the rest.
"""

import types
import typing
from collections.abc import Callable
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any

from beartype import BeartypeConf, beartype
from beartype.door import is_bearable
from beartype.vale import Is
from jaxtyping import AbstractArray

CONF = BeartypeConf(is_pep484_tower=True)  # 1 is a float


def checked(function):
  """`function` under beartype, for the arrays of its arguments and result."""
  hints = {
    name: checkable(hint)
    for name, hint in function.__annotations__.items()
    if has_array(hint)
  }
  function.__annotations__ = hints
  return beartype(function, conf=CONF) if hints else function


def has_array(hint: Any) -> bool:
  """Whether an annotation says something of an array."""
  parts = hint.__annotations__.values() if is_record(hint) else _args(hint)
  return is_array(hint) or any(map(has_array, parts))


def checkable(hint: Any, array: type | None = None) -> Any:
  """The annotation with its records checked field by field: beartype looks at
  their class alone. A record travels as jax's arrays, as numpy's or as shapes:
  within one an array is of any kind. Letters hold over a whole call."""
  if is_array(hint):
    return hint.dtype[array, hint.dim_str] if array else hint
  if is_record(hint):
    return Annotated[hint, Is[lambda record: _fits(hint, record)]]
  parts = tuple(checkable(part, array) for part in _args(hint))
  if isinstance(hint, types.UnionType):
    return reduce(or_, parts)
  return typing.get_origin(hint)[parts] if parts else hint


def is_array(hint: Any) -> bool:
  return isinstance(hint, type) and issubclass(hint, AbstractArray)


def is_record(hint: Any) -> bool:
  return isinstance(hint, type) and hasattr(hint, '_fields')


def _args(hint: Any) -> tuple:
  """None of a Callable: a function checks its own."""
  return () if typing.get_origin(hint) is Callable else typing.get_args(hint)


@cache
def _field_hints(record: type) -> dict[str, Any]:
  hints = record.__annotations__.items()
  return {n: checkable(h, Any) for n, h in hints if has_array(h)}


def _fits(record: type, value: Any) -> bool:
  """A part that is None is not there, and who reads it will fail."""
  parts = {name: getattr(value, name) for name in _field_hints(record)}
  return all(
    is_bearable(part, _field_hints(record)[name], conf=CONF)
    for name, part in parts.items()
    if part is not None
  )
