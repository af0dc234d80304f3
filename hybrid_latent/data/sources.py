"""The rows that a function gives: one of this package, or of your own.

    def problems(split):
      return [{'question': 'What is 6 * 7?', 'answer': 42}]

A function of your own gets those settings that it takes. What it returns is a
list, or anything else with a length and rows by position, or an iterator. Its
rows are read as those of a file are: see `plain.py`.
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
    function: what gives them.
    name: of the function, for messages.
    split: given to it by name, or else as its first argument.
    of: settings for it.
    path: given to it if it takes one; ValueError if it does not.
    fields: as in `jsonl.problems`; where it does not take them, its rows are
      read with them.

  Raises ValueError for what it cannot be given, for an error in it, with file
  and line, and for the first row that is none, with its number.
  """
  settings = dict(of) | {'path': path or None, 'fields': fields or None}
  arguments = _arguments(function, name, split, settings)
  if _is_ours(function):
    if fields and 'fields' not in arguments.arguments:
      raise ValueError(f'data.fields={fields!r}: {name} draws its own rows')
    return function(*arguments.args, **arguments.kwargs)
  found = _returned(name, split, function, arguments)
  if hasattr(found, 'digest'):  # of this package, where they were checked
    return found
  task = TASKS['plain' if of.get('task') == 'plain' else 'gsm8k']
  return Rows(found, name, function, fields, task)


class Rows:
  """Rows by position, as `plain.py` reads them; all are checked at first."""

  def __init__(
    self,
    source: Sequence[Mapping],
    name: str,
    function: Callable,
    fields: str = '',
    task: Task = TASKS['gsm8k'],
  ):
    """`name` and `function` say where `source` comes from; rows that are not of
    `task` are plain ones."""
    self._source, self._name, self._function = source, name, function
    with _named(name, function):
      count = len(source)
    if not count:
      raise ValueError(f'{name} returned no rows: accepted is one or more')
    renamed, columns = plain.fields_of(fields), {}
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
    number = range(len(self))[index]  # an IndexError where it should be one
    with self._numbered(number):
      return problem(self._task, self._row(number))

  def _row(self, number: int) -> dict[str, Any]:
    with _named('it', self._function):
      row = self._source[number]
    if not isinstance(row, Mapping):
      raise ValueError(
        f"{row!r:.60} is no row: accepted is {{'question': ..., 'answer': ...}}"
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
  """What `function` is called with: the split and those of the settings that it
  takes. ValueError for one that it lacks, or that would be lost."""
  try:
    signature = inspect.signature(function)
  except (TypeError, ValueError) as error:
    raise ValueError(
      f'data.function={name!r}: {error}; accepted is a function of `split`'
    ) from error
  kinds = [parameter.kind for parameter in signature.parameters.values()]
  others = inspect.Parameter.VAR_KEYWORD in kinds
  given = {}
  for key, value in settings.items():
    # `path` and `fields` are there for every source: **kwargs are not for them.
    common = key in ('path', 'fields')
    if key in signature.parameters or (others and not common):
      given[key] = value
    elif value is not None and key not in ('task', 'fields'):
      text = f'data{"." if common else ".kwargs."}{key}={value!r}'
      text = f'{text}: {name} takes {signature}'
      if common or _is_ours(function):
        raise ValueError(f'{text}, and no {key!r}')
      logging.getLogger(__name__).warning('%s, and is not given it', text)
  named = signature.parameters.get('split')
  by_name = named.kind is not named.POSITIONAL_ONLY if named else others
  try:
    if by_name:
      return signature.bind(split=split, **given)
    return signature.bind(split, **given)
  except TypeError as error:
    raise ValueError(
      f'data.function={name!r} takes {signature}: {error}; accepted is a '
      'function of `split`, whose further settings stand in data.kwargs'
    ) from error


def _returned(
  name: str, split: str, function: Callable, arguments: inspect.BoundArguments
) -> Any:
  """What a function of one's own returns, if it has rows by position."""
  with _named(name, function):
    found = function(*arguments.args, **arguments.kwargs)
    if hasattr(found, 'iterrows'):  # a DataFrame
      found = found.to_dict('records')
    if isinstance(found, Iterable) and not hasattr(found, '__len__'):
      found = [*found]
  rows_by_position = hasattr(found, '__len__') and hasattr(found, '__getitem__')
  if not rows_by_position or isinstance(found, str | bytes | Mapping):
    keys = f' of {sorted(found)}' if isinstance(found, Mapping) else ''
    raise ValueError(
      f'{name} returned {type(found).__name__}{keys} for split={split!r}: '
      'accepted is a list of rows, or what has a length and rows by position'
    )
  return found


@contextmanager
def _named(name: str, function: Callable) -> Iterator[None]:
  """Says in which line of the function's file an error was."""
  try:
    yield
  except (Exception, SystemExit) as error:  # of code that is not ours
    code = getattr(inspect.unwrap(function), '__code__', None)
    calls = traceback.extract_tb(error.__traceback__)[1:]
    here = [
      call for call in calls if code and call.filename == code.co_filename
    ]
    call = [*calls, *here][-1] if calls else None
    at = f' at {call.filename}, line {call.lineno}' if call else ''
    said = ' '.join(str(error).split())
    raise ValueError(
      f'{name} failed{at}: {type(error).__name__}: {said}'
    ) from error


def _json(column: str, value: Any) -> Any:
  """The value as graders get it. ValueError for what is not JSON, or no text
  that UTF-8 can have."""
  value = value.tolist() if hasattr(value, 'tolist') else value
  try:
    text = json.dumps(value, ensure_ascii=False)
    text.encode()
    return json.loads(text)  # as of a file: tuples are lists
  except (TypeError, ValueError) as error:
    raise ValueError(
      f'{column} = {_shown(value)}: accepted is what JSON has (text, numbers, '
      'None, lists and dicts of them)'
    ) from error


def _shown(value: Any) -> str:
  try:
    return f'{value!r:.60}'
  except ValueError:  # an integer of thousands of digits
    return type(value).__name__
