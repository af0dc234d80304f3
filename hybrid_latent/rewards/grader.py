"""Rewards of many completions, computed by processes that may be killed.

A reward reads text that a model wrote and may run sympy on it: it can hang,
swallow all memory, or crash. So it runs in worker processes, one prompt's group
at a time; a group that fails is NaN, and everything else goes on. A reward that
no text is to blame for ends the run: RewardError.
"""

import json
import logging
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hybrid_latent.rewards.process import Worker

_ATTEMPTS = 3  # submissions that a reward may fail wholly before it has worked


class RewardError(ValueError):
  """A reward that can never work."""


def total(
  results: Mapping[str, Float[np.ndarray, 'b']],
  weights: Mapping[str, float],
  group: int = 1,
) -> Float[np.ndarray, 'b']:
  """The weighted sum of the rewards, NaN where nothing was graded.

  What has weight 0 is a metric and decides nothing. As in TRL, a reward that
  graded none of the `group` samples of a prompt does not apply to it, and the
  others are its sum. One that graded some of them only makes the rest NaN:
  samples are compared by the same rewards or not at all.
  """
  missing = sorted(set(results) - set(weights))
  if missing:
    raise ValueError(
      f'no weight for the rewards {missing}; weights has {sorted(weights)}'
    )
  weighted = [weights[name] * r for name, r in results.items() if weights[name]]
  if not weighted:
    raise ValueError(
      f'the weights of {sorted(results)} are all 0: give one of them another'
    )
  rewards = np.stack(weighted).reshape(len(weighted), -1, group)
  nothing = np.isnan(rewards)
  applies = ~nothing.all(-1, keepdims=True)
  ungraded = (nothing & applies).any(0) | ~applies.any(0)
  summed = np.where(ungraded, np.nan, np.nansum(rewards, 0))
  return summed.reshape(-1).astype(np.float32)


class _Graded(NamedTuple):
  """One group."""

  rewards: dict[str, list[float]]
  errors: dict[str, dict[str, str]]  # of rewards that failed, see worker.py


class Grading:
  """Rewards that are being computed."""

  def __init__(
    self,
    names: Sequence[str],
    groups: Sequence[Future[_Graded]],
    check: Callable[[Sequence[_Graded]], None],
  ):
    self._names = names
    self._groups = groups
    self._check: Callable | None = check

  def result(self) -> dict[str, Float[np.ndarray, 'b']]:
    """Waits; the rewards by name in the order of the completions, float32, NaN
    where a reward failed, ran out of time or returned None. RewardError where
    one can never work."""
    groups = [group.result() for group in self._groups]
    if self._check:
      self._check(groups)
      self._check = None
    return {
      name: np.array([x for g in groups for x in g.rewards[name]], np.float32)
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
    timeout_s: seconds for one group and all rewards, those not counted in which
      its worker waits for a core (on Linux); then it is killed.
    memory_gib: address space of a worker and of each process that it starts (on
      Linux); None for no limit, as rewards that open a GPU need.
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
    if not any(self.weights.values()):
      raise ValueError(
        f'rewards: the weights of {sorted(rewards)} are all 0: give one of '
        'them another'
      )
    self._timeout_s = timeout_s
    self._logged: set[tuple[str, str]] = set()
    self._rewards = {name: _reward(name, r) for name, r in rewards.items()}
    self._columns: list[str] = []
    self._submissions, self._worked, self._closed = 0, set(), False
    setup = _line(
      {
        'rewards': self._rewards,
        'memory': int(memory_gib * 2**30) if memory_gib else None,
      }
    )
    self._threads = ThreadPoolExecutor(workers, 'grader')
    self._workers = [Worker(setup) for _ in range(workers)]
    self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
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
    self._columns = sorted(columns)
    return Grading(list(self.weights), groups, self._check)

  def check_columns(self, columns: Sequence[str]) -> None:
    """RewardError where a reward cannot be called with them."""
    self._columns = sorted(columns)
    line = _line({'signature': self._columns})
    answer = self._threads.submit(self._grade, line, 0).result()
    for name, error in answer.errors.items():
      raise self._never(name, error['what'])

  def close(self) -> None:
    """Ends the workers: what is being graded becomes NaN, what has not begun
    is cancelled."""
    self._closed = True
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

  def _grade(self, line: bytes, group: int) -> _Graded:
    worker = self._idle.get()
    try:
      answer = self._answer(worker, line)
    except (ConnectionError, TimeoutError) as error:
      self._log('every reward', f'{error}')
      failure = {'kind': 'limit', 'what': f'{error}'}
      nothing = {name: [np.nan] * group for name in self.weights}
      return _Graded(nothing, dict.fromkeys(self.weights, failure))
    finally:
      self._idle.put(worker)
    for name, error in answer['errors'].items():
      if error['kind'] != 'misuse':  # `result` raises it
        self._log(f'reward {name!r}', error['what'])
    rewards = {
      name: [np.nan if x is None else x for x in values]
      for name, values in answer['rewards'].items()
    }
    return _Graded(rewards, answer['errors'])

  def _answer(self, worker: Worker, line: bytes) -> dict:
    """A worker that died gets a second life and the group again: what an
    earlier one did to the process decides no grade."""
    try:
      return worker.answer(line, self._timeout_s)
    except ConnectionError:
      if self._closed:
        raise
    return worker.answer(line, self._timeout_s)

  def _check(self, groups: Sequence[_Graded]) -> None:
    """RewardError for a misuse; and for a reward that has never worked where it
    raises an error on every group of a submission, or has graded none in a few.
    """
    if self._closed or not groups:
      return
    self._submissions += 1
    for name in self.weights:
      errors = [g.errors[name] for g in groups if name in g.errors]
      kinds = {error['kind'] for error in errors}
      if len(errors) < len(groups):
        self._worked.add(name)
        if all(np.isnan(g.rewards[name]).all() for g in groups):
          self._log(f'reward {name!r}', 'None for all that it was given')
      elif name not in self._worked and (
        kinds == {'error'} or self._submissions >= _ATTEMPTS
      ):
        raise self._never(name, errors[0]['what'])
      for error in errors:
        if error['kind'] == 'misuse':
          raise self._never(name, error['what'])

  def _never(self, name: str, why: str) -> RewardError:
    return RewardError(
      f'reward {name!r} ({self._rewards[name]["function"]}) can never work: '
      f'{why}; write f(completions, *, answer, **columns) -> '
      f'list[float | None], which takes the columns {self._columns}'
    )

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
