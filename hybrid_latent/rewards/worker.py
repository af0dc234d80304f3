"""The worker process of a `Grader`, which calls the reward functions.

`python -m hybrid_latent.rewards.worker` reads one JSON object per line and
answers each with one, which repeats the number in 'request', so that output of
a reward in the pipe is not mistaken for an answer:

  {'rewards': {name: {'function': 'module:name', 'kwargs': {..}}}, 'memory': n}
    -> {'ready': true}, or {'error': what is wrong with which reward}
  {'signature': [names of columns]}
    -> {'errors': {name: failure}}     of those that cannot be called with them
  {'completions': [..], 'columns': {name: [..]}}     one prompt's group
    -> {'rewards': {name: [number or null, ..]}, 'errors': {name: failure}}

A failure is {'kind', 'what'}: 'misuse', which does not depend on the texts;
'limit', of memory, recursion or time; or 'error', any other exception.

Standard input and output are reserved for these lines: the output of a reward
goes to standard error. When the parent ends, the worker ends with all processes
that a reward has started, even during a request.
"""

import importlib
import inspect
import json
import math
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from numbers import Number
from typing import IO, Any, cast

from hybrid_latent.rewards.process import MARK, family, kill_all

_LARGEST = 3.4028234663852886e38  # of float32
_LIMITS = MemoryError, RecursionError, TimeoutError


class Misuse(TypeError):
  """A signature or a result that cannot work with any text."""


def main() -> None:
  """Serves until standard input ends."""
  lines, reply = _pipes()
  inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
  # A thread, so that the end of the input is noticed during a reward.
  threading.Thread(target=_receive, args=(lines, inbox), daemon=True).start()
  try:
    functions = _prepared(json.loads(inbox.get()))
  except BaseException as error:
    reply({'error': f'{error}'})
    os._exit(1)
  reply({'ready': True})
  directory, pid = os.getcwd(), os.getpid()
  while True:
    request = json.loads(inbox.get())
    answer = _answer(functions, request) | {'request': request['request']}
    if os.getpid() != pid:  # the child of a reward that forked returns here
      os._exit(0)
    reply(answer)
    # A reward may have set a timer or changed the directory.
    signal.setitimer(signal.ITIMER_REAL, 0)
    with suppress(OSError):
      os.chdir(directory)


def _pipes() -> tuple[IO[str], Callable[[dict], None]]:
  """Copies of both pipes; a reward's own input is empty, and its output goes to
  standard error."""
  lines = os.fdopen(os.dup(0), encoding='ascii')
  # Bound here, because a reward may replace json.dumps.
  out, dumps = os.fdopen(os.dup(1), 'w', encoding='ascii'), json.dumps
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  os.dup2(2, 1)

  def reply(message: dict) -> None:
    out.write(dumps(message) + '\n')
    out.flush()

  return lines, reply


def _receive(lines: IO[str], inbox: queue.SimpleQueue) -> None:
  try:
    for line in lines:
      inbox.put(line)
  finally:
    if mark := os.environ.get(MARK):
      kill_all(family({os.getpid()}, mark), mark)
    os._exit(0)


def _prepared(config: dict) -> dict[str, tuple[Callable[..., list], dict]]:
  """The reward functions by name, each with its keyword arguments."""
  functions = {
    name: (_function(name, reward['function']), reward['kwargs'])
    for name, reward in config['rewards'].items()
  }
  if 'hybrid_latent.rewards.math' in sys.modules:
    # It imports sympy on its first use, whose time would count for a group.
    importlib.import_module('hybrid_latent.rewards.magnitude')
    importlib.import_module('math_verify')
  if config['memory'] and sys.platform != 'darwin':  # macOS has no such limit
    # A huge number in sympy then ends the worker instead of exhausting the
    # memory of the machine; no core file is written.
    resource.setrlimit(resource.RLIMIT_AS, (config['memory'],) * 2)
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  return functions


def _function(name: str, path: str) -> Callable[..., list]:
  module_name, _, attribute = path.partition(':')
  try:
    module = importlib.import_module(module_name)
  except Exception as error:
    raise ValueError(
      f'reward {name!r}: function={path!r} cannot be imported '
      f"({_described(error)}); write 'package.module:function'"
    ) from error
  function = getattr(module, attribute, None) if attribute else None
  if not callable(function):
    names = sorted(
      key
      for key, value in vars(module).items()
      if inspect.isfunction(value)
      and value.__module__ == module_name
      and not key.startswith('_')
    )
    raise ValueError(
      f'reward {name!r}: function={path!r}, but {module_name} has no function '
      f'{attribute!r}; it has {names}'
    )
  return cast(Callable[..., list], function)


def _answer(functions: Mapping[str, tuple], request: dict) -> dict:
  rewards, errors = {}, {}
  completions = request.get('completions', ())
  for name, (function, kwargs) in functions.items():
    try:
      if 'signature' in request:
        _check_signature(function, request['signature'], kwargs)
        continue
      _check_signature(function, request['columns'], kwargs)
      # Copies, so that a reward cannot change the inputs of others.
      texts, columns, own = deepcopy((completions, request['columns'], kwargs))
      result = function(texts, **columns, **own)
      rewards[name] = _numbers(result, len(completions))
    except BaseException as error:  # SystemExit, and timeouts of math-verify
      rewards[name] = [None] * len(completions)
      kind = 'misuse' if isinstance(error, Misuse) else 'error'
      kind = 'limit' if isinstance(error, _LIMITS) else kind
      place = _location(function) if kind == 'misuse' else ''
      errors[name] = {'kind': kind, 'what': f'{_described(error)}{place}'}
  return {'rewards': rewards, 'errors': errors}


def _location(function: Callable) -> str:
  """File and line of a function; '' for one that is not written in Python."""
  code = getattr(inspect.unwrap(function), '__code__', None)
  return f' ({code.co_filename}, line {code.co_firstlineno})' if code else ''


def _check_signature(
  function: Callable, columns: Iterable[str], kwargs: Mapping[str, Any]
) -> None:
  """Raises Misuse where the function cannot be called with these names."""
  # An object with an async __call__ is no coroutine function itself.
  for call in function, type(function).__call__:
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
      raise Misuse('a coroutine function: write def instead of async def')
  if both := sorted({*columns} & {*kwargs}):
    raise Misuse(f'kwargs={both} are also columns of the data')
  try:
    signature = inspect.signature(function)
  except (TypeError, ValueError):  # some C functions have none
    return
  try:
    signature.bind([], **dict.fromkeys(columns), **kwargs)
  except TypeError as error:
    raise Misuse(f'{error}: its signature is {signature}') from None


def _numbers(result: Any, count: int) -> list[float | None]:
  """The rewards as floats, None for NaN. Misuse for any other result."""
  result = result.tolist() if hasattr(result, 'tolist') else result
  if not isinstance(result, list | tuple):
    raise Misuse(f'returned a {type(result).__name__} instead of a list')
  if len(result) != count:
    raise Misuse(f'returned {len(result)} rewards for {count} completions')
  plain = [x.tolist() if hasattr(x, 'tolist') else x for x in result]
  for x in plain:
    if not (x is None or isinstance(x, Number)) or isinstance(x, complex):
      raise Misuse(
        f'returned {x!r:.80}, a {type(x).__name__}, instead of a number'
      )
  numbers = [None if x is None else float(cast(Any, x)) for x in plain]
  if any(x is not None and abs(x) > _LARGEST for x in numbers):
    raise ValueError(f'a reward is infinite in float32: {numbers}')
  return [None if x is None or math.isnan(x) else x for x in numbers]


def _described(error: BaseException) -> str:
  """Type and message of an error, with the line of the reward's file."""
  try:
    text = f'{error}'[:500]
  except Exception:
    text = ''
  if isinstance(error, Misuse):
    return text
  frames = [
    frame
    for frame in traceback.extract_tb(error.__traceback__)
    if frame.filename not in (__file__, importlib.__file__)
    and not frame.filename.startswith('<')
  ]
  own = [frame for frame in frames if frame.filename == frames[0].filename]
  place = f' ({own[-1].filename}, line {own[-1].lineno})' if own else ''
  return f'{type(error).__name__}: {text}{place}'


if __name__ == '__main__':
  main()
