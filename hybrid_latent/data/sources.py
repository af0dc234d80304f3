"""Rows returned by a function, of this package or of the user.

    def problems(split):
      return [{'question': 'What is 6 * 7?', 'answer': 42}]

The user's function is called with those settings that are in its signature. It
returns a list, any other object with a length and rows by position, or an
iterator. Its rows have the form of those of a file: see `plain.py`.
"""

import inspect
import json
import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, SupportsIndex

from hybrid_latent.data import plain
from hybrid_latent.data.tasks import TASKS, Task, later_problem, problem


def rows(
  function: Callable,
  name: str,
  split: str,
  *,
  of: Mapping[str, Any],
  path: str = '',
  fields: str = '',
) -> 'Sequence[dict] | Rows':
  """The rows of `split`.

  Args:
    function: returns the rows.
    name: of the function, for messages.
    split: its keyword argument, or else its first argument.
    of: further keyword arguments.
    path: its argument `path`; ValueError if it has none.
    fields: as in `jsonl.problems`; where it has no such argument, they are
      applied to its rows.

  Raises ValueError for arguments that it does not take, for an error in it,
  with file and line, and for the first malformed row, with its number.
  """
  settings = dict(of) | {'path': path or None, 'fields': fields or None}
  arguments = _arguments(function, name, split, settings)
  if _is_ours(function):
    if fields and 'fields' not in arguments.arguments:
      raise ValueError(
        f"data.fields={fields!r}: {name} generates its rows: write ''"
      )
    return function(*arguments.args, **arguments.kwargs)
  source = _returned(name, split, function, arguments)
  if hasattr(source, 'digest'):  # rows of this package are already checked
    return source
  task = TASKS['plain' if of.get('task') == 'plain' else 'gsm8k']
  return Rows(source, name, function, fields, task)


class Rows:
  """Rows by position in the form of `plain.py`; all are checked at once."""

  def __init__(
    self,
    source: Sequence[Mapping],
    name: str,
    function: Callable,
    fields: str = '',
    task: Task = TASKS['gsm8k'],
  ):
    """`name` and `function` are the origin of `source`, for messages; rows that
    are not of `task` are plain ones."""
    self._source, self._name, self._function = source, name, function
    with _named(name, function):
      count = len(source)
    if not count:
      raise ValueError(f'{name} returned no rows: accepted is one or more')
    renamed, columns = plain.fields_of(fields), {}
    # At the start: a malformed row must not end a run in the middle.
    for number in range(count):
      with self._numbered(number):
        row = self._row(number)
        if not number:
          self._task, _ = plain.reader(task, row, renamed)
          problem(self._task, row)
        later_problem(self._task, row)
      columns |= dict.fromkeys(row)
    self._task = plain.with_columns(self._task, [*columns])

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: SupportsIndex) -> dict:
    number = range(len(self))[index]  # IndexError, and indices below 0
    with self._numbered(number):
      return problem(self._task, self._row(number))

  def _row(self, number: int) -> dict[str, Any]:
    with _named('it', self._function):
      row = self._source[number]
    if not isinstance(row, Mapping):
      raise ValueError(
        f'{row!r:.60} is not a row: accepted is '
        "{'question': ..., 'answer': ...}"
      )
    if wrong := [column for column in row if not isinstance(column, str)]:
      raise ValueError(
        f'column {wrong[0]!r:.60} of {row!r:.60}: accepted are names that are '
        'texts'
      )
    return {column: _json(column, value) for column, value in row.items()}

  @contextmanager
  def _numbered(self, number: int) -> Iterator[None]:
    try:
      yield
    except ValueError as error:
      raise ValueError(f'{self._name}, row {number + 1}: {error}') from error


def _is_ours(function: Callable) -> bool:
  return str(function.__module__).startswith('hybrid_latent.')


def _arguments(
  function: Callable, name: str, split: str, settings: Mapping[str, Any]
) -> inspect.BoundArguments:
  """The arguments of `function`: the split and those settings that are in its
  signature. ValueError for one that it lacks, or that would be lost."""
  try:
    signature = inspect.signature(function)
  except (TypeError, ValueError) as error:
    raise ValueError(
      f'data.function={name!r}: {error}; accepted is a function of `split`'
    ) from error
  kinds = [parameter.kind for parameter in signature.parameters.values()]
  var_keyword = inspect.Parameter.VAR_KEYWORD in kinds
  kwargs = {}
  for key, value in settings.items():
    # Every source has `path` and `fields`: **kwargs do not take them.
    common = key in ('path', 'fields')
    if key in signature.parameters or (var_keyword and not common):
      kwargs[key] = value
    elif value is not None and key not in ('task', 'fields'):
      text = f'data{"." if common else ".kwargs."}{key}={value!r}'
      text = f'{text}: {name} takes {signature}'
      if common or _is_ours(function):
        raise ValueError(f'{text}, and no {key!r}')
      logging.getLogger(__name__).warning('%s; the setting is ignored', text)
  parameter = signature.parameters.get('split')
  by_name = (
    parameter.kind is not parameter.POSITIONAL_ONLY
    if parameter
    else var_keyword
  )
  try:
    if by_name:
      return signature.bind(split=split, **kwargs)
    return signature.bind(split, **kwargs)
  except TypeError as error:
    raise ValueError(
      f'data.function={name!r} takes {signature}: {error}; accepted is a '
      'function of `split`, with its further arguments in data.kwargs'
    ) from error


def _returned(
  name: str, split: str, function: Callable, arguments: inspect.BoundArguments
) -> Any:
  """The result of the user's function, if it has rows by position."""
  with _named(name, function):
    result = function(*arguments.args, **arguments.kwargs)
    if hasattr(result, 'iterrows'):  # a DataFrame
      result = result.to_dict('records')
    if isinstance(result, Iterable) and not hasattr(result, '__len__'):
      result = [*result]
  by_position = hasattr(result, '__len__') and hasattr(result, '__getitem__')
  if not by_position or isinstance(result, str | bytes | Mapping):
    keys = f' of {sorted(result)}' if isinstance(result, Mapping) else ''
    raise ValueError(
      f'{name} returned {type(result).__name__}{keys} for split={split!r}: '
      'accepted is a list of rows, or an object with a length and rows by '
      'position'
    )
  return result


@contextmanager
def _named(name: str, function: Callable) -> Iterator[None]:
  """Errors of the block become ValueError, with the line of the function."""
  try:
    yield
  except (Exception, SystemExit) as error:  # the user's code may raise anything
    code = getattr(inspect.unwrap(function), '__code__', None)
    calls = traceback.extract_tb(error.__traceback__)[1:]
    in_file = [
      call for call in calls if code and call.filename == code.co_filename
    ]
    # The innermost call in the function's file, else the innermost of all.
    call = [*calls, *in_file][-1] if calls else None
    at = f' at {call.filename}, line {call.lineno}' if call else ''
    message = ' '.join(str(error).split())
    raise ValueError(
      f'{name} failed{at}: {type(error).__name__}: {message}'
    ) from error


def _json(column: str, value: Any) -> Any:
  """The value after a round trip through JSON, as rewards receive it.
  ValueError for other types, and for text that is not valid UTF-8."""
  value = value.tolist() if hasattr(value, 'tolist') else value
  try:
    text = json.dumps(value, ensure_ascii=False)
    text.encode()
    return json.loads(text)  # as from a file: tuples become lists
  except (TypeError, ValueError) as error:
    raise ValueError(
      f'{column} = {_shown(value)}: accepted are the types of JSON (text, '
      'numbers, None, lists and dicts of them)'
    ) from error


def _shown(value: Any) -> str:
  try:
    return f'{value!r:.60}'
  except ValueError:  # an integer of thousands of digits
    return type(value).__name__
