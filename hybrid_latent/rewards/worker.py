"""A process that calls reward functions on texts that a model wrote.

`python -m hybrid_latent.rewards.worker` is what a `Grader` starts. It reads one
JSON object a line and answers each with one:

  {'rewards': {name: {'function': 'module:name', 'kwargs': {..}}}, 'memory': n}
    -> {'ready': true}, or {'error': what is wrong with which reward}
  {'completions': [..], 'columns': {name: [..]}}     one prompt's group
    -> {'rewards': {name: [number or null, ..]}, 'errors': {name: what}}

Standard input and output are kept for that: what a reward prints goes to
standard error. When the other end is gone, so is the worker, even in the middle
of a reward.
"""

import importlib
import inspect
import json
import math
import os
import queue
import resource
import threading
from collections.abc import Callable, Mapping
from typing import IO, cast


def main() -> None:
  """Serves until standard input ends."""
  lines, reply = _pipes()
  inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
  threading.Thread(target=_receive, args=(lines, inbox), daemon=True).start()
  try:
    functions = _prepared(json.loads(inbox.get()))
  except BaseException as error:
    reply({'error': f'{error}'})
    os._exit(1)
  reply({'ready': True})
  while True:
    reply(_graded(functions, json.loads(inbox.get())))


def _pipes() -> tuple[IO[str], Callable[[dict], None]]:
  """Both ends of the conversation, out of reach of what a reward prints."""
  lines = os.fdopen(os.dup(0), encoding='ascii')
  out = os.fdopen(os.dup(1), 'w', encoding='ascii')
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  os.dup2(2, 1)

  def reply(message: dict) -> None:
    out.write(json.dumps(message) + '\n')
    out.flush()

  return lines, reply


def _receive(lines: IO[str], inbox: queue.SimpleQueue) -> None:
  for line in lines:
    inbox.put(line)
  os._exit(0)


def _prepared(config: dict) -> dict[str, tuple[Callable[..., list], dict]]:
  """The reward functions by name, each with its keyword arguments."""
  functions = {
    name: (_function(name, reward['function']), reward['kwargs'])
    for name, reward in config['rewards'].items()
  }
  if config['memory']:
    # A text that makes sympy write out a huge number ends the worker, not the
    # machine; and it does so without a core file.
    resource.setrlimit(resource.RLIMIT_AS, (config['memory'],) * 2)
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  return functions


def _function(name: str, path: str) -> Callable[..., list]:
  module_name, _, attribute = path.partition(':')
  try:
    module = importlib.import_module(module_name)
  except ImportError as error:
    raise ValueError(
      f'reward {name!r}: function={path!r} cannot be imported ({error}); write '
      "'package.module:function'"
    ) from error
  function = getattr(module, attribute, None) if attribute else None
  if not callable(function):
    here = sorted(
      key
      for key, value in vars(module).items()
      if inspect.isfunction(value)
      and value.__module__ == module_name
      and not key.startswith('_')
    )
    raise ValueError(
      f'reward {name!r}: function={path!r}, but {module_name} has no function '
      f'{attribute!r}; it has {here}'
    )
  return cast(Callable[..., list], function)


def _graded(functions: Mapping[str, tuple], group: dict) -> dict:
  rewards, errors = {}, {}
  completions = group['completions']
  for name, (function, kwargs) in functions.items():
    try:
      given = function(completions, **group['columns'], **kwargs)
      rewards[name] = _numbers(given, len(completions))
    except BaseException as error:  # SystemExit, and timeouts of math-verify
      rewards[name] = [None] * len(completions)
      errors[name] = f'{type(error).__name__}: {error}'[:500]
  return {'rewards': rewards, 'errors': errors}


def _numbers(given: list, count: int) -> list[float | None]:
  if len(given) != count:
    raise ValueError(f'{len(given)} rewards for {count} completions')
  rewards = [None if x is None or math.isnan(x) else float(x) for x in given]
  if any(x is not None and math.isinf(x) for x in rewards):
    raise ValueError(f'an infinite reward in {rewards}')
  return rewards


if __name__ == '__main__':
  main()
