"""Rewards of many completions, computed by processes that may be killed.

A reward reads text that a model wrote and may run sympy on it: it can hang,
swallow all memory, or crash. So it runs in worker processes, one prompt's group
at a time; a group that fails is NaN, and everything else goes on.
"""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any, cast

import numpy as np
from jaxtyping import Float

_START_S = 120.0  # importing sympy from a cold network disk takes its time


def total(
  results: Mapping[str, Float[np.ndarray, 'b']], weights: Mapping[str, float]
) -> Float[np.ndarray, 'b']:
  """The weighted sum of the rewards that could be graded, NaN where none."""
  missing = sorted(set(results) - set(weights))
  if missing:
    raise ValueError(
      f'no weight for the rewards {missing}; weights has {sorted(weights)}'
    )
  rewards = np.stack([weights[name] * r for name, r in results.items()])
  nothing = np.isnan(rewards).all(0)
  return np.where(nothing, np.nan, np.nansum(rewards, 0)).astype(np.float32)


class Grading:
  """Rewards that are being computed."""

  def __init__(self, names: Sequence[str], groups: Sequence[Future]):
    self._names = names
    self._groups = groups

  def result(self) -> dict[str, Float[np.ndarray, 'b']]:
    """Waits; the rewards by name in the order of the completions, float32, NaN
    where a reward failed, ran out of time or returned None."""
    groups = [group.result() for group in self._groups]
    return {
      name: np.array([x for g in groups for x in g[name]], np.float32)
      for name in self._names
    }


class Grader:
  """A pool of reward workers, for use in a `with`.

  Args:
    rewards: by name, `{'function': 'package.module:function', 'weight': 1.0,
      'kwargs': {..}}`, the last two optional. A reward is called as TRL does,
      `f(completions, *, answer, **columns) -> list[float | None]`, with the
      completions of one prompt; None says that it could not judge.
    workers: processes, each grading one group at a time.
    timeout_s: seconds for one group and all rewards; then its worker is killed.
    memory_gib: address space of a worker; None for no limit, as rewards that
      open a GPU need.
  """

  def __init__(
    self,
    rewards: Mapping[str, Mapping],
    *,
    workers: int = 2,
    timeout_s: float = 10.0,
    memory_gib: float | None = 4.0,
  ):
    if not rewards or workers < 1:
      raise ValueError(
        f'a grader needs a reward and a worker, got rewards={dict(rewards)}, '
        f'workers={workers}'
      )
    self.weights = {k: float(v.get('weight', 1)) for k, v in rewards.items()}
    self._timeout_s = timeout_s
    self._logged: set[tuple[str, str]] = set()
    setup = _line(
      {
        'rewards': {name: _reward(name, r) for name, r in rewards.items()},
        'memory': int(memory_gib * 2**30) if memory_gib else None,
      }
    )
    self._threads = ThreadPoolExecutor(workers, 'grader')
    self._workers = [_Worker(setup) for _ in range(workers)]
    self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    try:
      for worker in self._workers:
        worker.wait_ready()
        self._idle.put(worker)
    except BaseException:
      self.close()
      raise

  def submit(
    self,
    completions: Sequence[str],
    columns: Mapping[str, Sequence],
    group: int,
  ) -> Grading:
    """Begins to grade and returns at once.

    Args:
      completions: b texts, the `group` samples of each prompt side by side.
      columns: of the data set ('answer', ..), b values each, plain JSON.
      group: samples of a prompt.
    """
    b = len(completions)
    if b % group:
      raise ValueError(f'{b} completions are not groups of group={group}')
    for name, column in columns.items():
      if len(column) != b:
        raise ValueError(
          f'columns[{name!r}] has {len(column)} values for {b} completions; '
          'repeat each of a prompt `group` times'
        )
    groups = []
    for i in range(0, b, group):
      part = {name: list(c[i : i + group]) for name, c in columns.items()}
      texts = list(completions[i : i + group])
      line = _line({'completions': texts, 'columns': part})
      groups.append(self._threads.submit(self._grade, line, group))
    return Grading(list(self.weights), groups)

  def close(self) -> None:
    """Ends the workers: what is being graded becomes NaN, what has not begun
    is cancelled."""
    self._threads.shutdown(wait=False, cancel_futures=True)
    for worker in self._workers:
      worker.kill()
    self._threads.shutdown()
    for worker in self._workers:
      worker.end()

  def __enter__(self) -> 'Grader':
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def _grade(self, line: bytes, group: int) -> dict[str, list[float]]:
    worker = self._idle.get()
    try:
      answer = worker.answer(line, self._timeout_s)
    finally:
      self._idle.put(worker)
    if answer is None:
      why = f'its worker crashed or took more than {self._timeout_s} s'
      self._log('every reward', why)
      return {name: [np.nan] * group for name in self.weights}
    for name, error in answer['errors'].items():
      self._log(f'reward {name!r}', error)
    return {
      name: [np.nan if x is None else x for x in values]
      for name, values in answer['rewards'].items()
    }

  def _log(self, what: str, error: str) -> None:
    """Once for each kind of error: the message itself may quote a text."""
    kind = (what, error.partition(':')[0])
    if kind not in self._logged:
      self._logged.add(kind)
      logging.getLogger(__name__).warning(
        '%s failed for a group, which is NaN: %s (logged once)', what, error
      )


def _reward(name: str, reward: Mapping[str, Any]) -> dict:
  unknown = sorted(set(reward) - {'function', 'weight', 'kwargs'})
  if unknown or 'function' not in reward:
    raise ValueError(
      f"reward {name!r} has {sorted(reward)}; it takes 'function' "
      "('package.module:function'), 'weight' and 'kwargs'"
    )
  kwargs = dict(reward.get('kwargs') or {})
  return {'function': reward['function'], 'kwargs': kwargs}


def _line(message: dict) -> bytes:
  """One line of ASCII: JSON escapes every other character, surrogates too."""
  return json.dumps(message, default=_plain).encode('ascii') + b'\n'


def _plain(value: Any) -> Any:
  if hasattr(value, 'tolist'):  # numpy
    return value.tolist()
  if hasattr(value, 'items'):  # ConfigDict
    return dict(value.items())
  raise TypeError(
    f'a reward worker is sent JSON, which has no {type(value).__name__} '
    f'({value!r:.80})'
  )


class _Worker:
  """A worker process, and the next one when it had to be killed."""

  def __init__(self, setup: bytes):
    self._setup = setup
    self._reaping = threading.Lock()
    self._begin()

  def wait_ready(self) -> None:
    """Returns when the rewards are imported, in a new process if need be."""
    if self._process.returncode is not None:
      self.end()
      self._begin()
    if self._ready:
      return
    answer = self._exchange(b'', _START_S)
    if answer is None:
      raise RuntimeError(
        f'a reward worker ended, or was not ready within {_START_S} s; what it '
        'wrote to standard error says why'
      )
    if 'error' in answer:
      raise ValueError(answer['error'])
    self._ready = True

  def answer(self, line: bytes, seconds: float) -> dict | None:
    """The answer to a request; None if it had to be killed."""
    self.wait_ready()
    return self._exchange(line, seconds)

  def kill(self) -> None:
    """The process, and whatever a reward has started in it."""
    with self._reaping:  # a number that is waited for may be another's
      if self._process.returncode is None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

  def end(self) -> None:
    """Kills, and closes the pipes."""
    self.kill()
    with suppress(BrokenPipeError):  # part of a request that nobody read
      self._requests.close()
    self._answers.close()

  def _begin(self) -> None:
    self._ready = False
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    # -P: search the working directory only where this process does.
    self._process = subprocess.Popen(
      [sys.executable, '-P', '-m', 'hybrid_latent.rewards.worker'],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env=os.environ | {'PYTHONPATH': path},
      start_new_session=True,
    )
    self._requests = cast(IO[bytes], self._process.stdin)
    self._answers = cast(IO[bytes], self._process.stdout)
    with suppress(BrokenPipeError):  # `wait_ready` will see it
      self._requests.write(self._setup)
      self._requests.flush()

  def _exchange(self, line: bytes, seconds: float) -> dict | None:
    alarm = threading.Timer(seconds, self.kill)
    alarm.start()
    try:
      self._requests.write(line)
      self._requests.flush()
      answer = self._answers.readline()
    except BrokenPipeError:  # it died before it had read everything
      answer = b''
    finally:
      alarm.cancel()
      alarm.join()
    if not answer.endswith(b'\n'):
      self.end()
      return None
    return json.loads(answer)
