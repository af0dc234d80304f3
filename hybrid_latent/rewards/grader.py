"""Rewards of many completions, computed in worker processes.

A reward parses generated text and may run sympy on it: it can hang, exhaust the
memory, or crash. So it runs in worker processes, one group at a time; a group
that fails is NaN, and the others are not affected. A reward that fails for
every text ends the run: RewardError.
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

_ATTEMPTS = 3  # submissions in which a reward may fail for all groups at first


class RewardError(ValueError):
  """A reward that cannot work for any text."""


def total(
  results: Mapping[str, Float[np.ndarray, 'b']],
  weights: Mapping[str, float],
  group: int = 1,
) -> Float[np.ndarray, 'b']:
  """The weighted sum of the rewards, NaN where nothing was graded.

  A reward of weight 0 is only a metric. As in TRL, a reward that graded none of
  the `group` completions of a prompt does not apply to it and is not in its
  sum. If it graded only some of them, the others are NaN: completions are
  compared by the same rewards or not at all.
  """
  missing = sorted(set(results) - set(weights))
  if missing:
    raise ValueError(
      f'no weight for the rewards {missing}: accepted are weights of all '
      f'rewards, got {sorted(weights)}'
    )
  weighted = [weights[name] * r for name, r in results.items() if weights[name]]
  if not weighted:
    raise ValueError(
      f'the weights of {sorted(results)} are all 0: write another for one'
    )
  rewards = np.stack(weighted).reshape(len(weighted), -1, group)
  nothing = np.isnan(rewards)
  applies = ~nothing.all(-1, keepdims=True)
  ungraded = (nothing & applies).any(0) | ~applies.any(0)
  summed = np.where(ungraded, np.nan, np.nansum(rewards, 0))
  return summed.reshape(-1).astype(np.float32)


class _Graded(NamedTuple):
  """The rewards of one group."""

  rewards: dict[str, list[float]]
  errors: dict[str, dict[str, str]]  # of rewards that failed, see worker.py


class Grading:
  """Rewards in computation."""

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
    """Waits for the rewards, by name in the order of the completions, float32,
    NaN where a reward failed, timed out or returned None. RewardError for one
    that cannot work."""
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
      'kwargs': {..}}`, the last two optional. The signature is TRL's,
      `f(completions, *, answer, **columns) -> list[float | None]`, with the
      completions of one prompt; None is ungraded.
    workers: number of processes, each grading one group at a time.
    timeout_s: seconds for all rewards of one group, without the time that its
      worker waits for a core (on Linux); then the worker is killed.
    memory_gib: address space of a worker and of each process that it starts (on
      Linux); None for no limit, which rewards on a GPU need.
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
        f'rewards={dict(rewards)}, workers={workers}: accepted are at least '
        'one reward and one worker'
      )
    self.weights = {k: float(v.get('weight', 1)) for k, v in rewards.items()}
    if not any(self.weights.values()):
      raise ValueError(
        f'rewards: the weights of {sorted(rewards)} are all 0: write another '
        'for one'
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
    """Starts the grading and returns at once.

    Args:
      completions: b texts; each `group` consecutive ones are of one prompt.
      columns: of the data set ('answer', ..), b values each, plain JSON.
      group: completions per prompt.
    """
    b = len(completions)
    if b % group:
      raise ValueError(
        f'{b} completions are not groups of group={group}: accepted is a '
        'multiple'
      )
    for name, column in columns.items():
      if len(column) != b:
        raise ValueError(
          f'columns[{name!r}] has {len(column)} values for {b} completions: '
          'repeat each value `group` times'
        )
    groups = []
    for i in range(0, b, group):
      columns_i = {name: list(c[i : i + group]) for name, c in columns.items()}
      texts = list(completions[i : i + group])
      line = _line({'completions': texts, 'columns': columns_i})
      groups.append(self._threads.submit(self._grade, line, group))
    self._columns = sorted(columns)
    return Grading(list(self.weights), groups, self._check)

  def check_columns(self, columns: Sequence[str]) -> None:
    """RewardError for a reward that cannot be called with these columns."""
    self._columns = sorted(columns)
    line = _line({'signature': self._columns})
    answer = self._threads.submit(self._grade, line, 0).result()
    for name, error in answer.errors.items():
      raise self._reward_error(name, error['what'])

  def close(self) -> None:
    """Ends the workers. Groups in computation become NaN, waiting ones are
    cancelled."""
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
    """The worker's answer. After a crash the group is sent once more, to a new
    process: an earlier group may have damaged the old one."""
    try:
      return worker.answer(line, self._timeout_s)
    except ConnectionError:
      if self._closed:
        raise
    return worker.answer(line, self._timeout_s)

  def _check(self, groups: Sequence[_Graded]) -> None:
    """RewardError for a misuse, and for a reward that never worked and raises
    an error in every group of a submission, or fails in all groups of
    `_ATTEMPTS` submissions."""
    if self._closed or not groups:
      return
    self._submissions += 1
    for name in self.weights:
      errors = [g.errors[name] for g in groups if name in g.errors]
      kinds = {error['kind'] for error in errors}
      if len(errors) < len(groups):
        self._worked.add(name)
        if all(np.isnan(g.rewards[name]).all() for g in groups):
          self._log(f'reward {name!r}', 'None for every completion')
      elif name not in self._worked and (
        kinds == {'error'} or self._submissions >= _ATTEMPTS
      ):
        raise self._reward_error(name, errors[0]['what'])
      for error in errors:
        if error['kind'] == 'misuse':
          raise self._reward_error(name, error['what'])

  def _reward_error(self, name: str, why: str) -> RewardError:
    return RewardError(
      f'reward {name!r} ({self._rewards[name]["function"]}) can never work: '
      f'{why}; write f(completions, *, answer, **columns) -> '
      f'list[float | None], which takes the columns {self._columns}'
    )

  def _log(self, what: str, error: str) -> None:
    """Once per kind of error: the messages may quote texts, which differ."""
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
      f"reward {name!r} has {sorted(reward)}: accepted are 'function' "
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
    f'{value!r:.80}: accepted is JSON, which has no {type(value).__name__}'
  )
