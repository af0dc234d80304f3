"""Checks rewards against rows and prompt before a model is loaded."""

import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from .named import Config, named

_PACKAGE = 'hybrid_latent.rewards'
_MARKED = {'####': '#### {}', r'\boxed': r'\boxed{{{}}}'}  # mark -> an answer
_PLAIN = 'The answer is {}.'
_log = logging.getLogger(__name__)


def check_columns(config: Config, row: Mapping[str, Any]) -> None:
  """ValueError where a reward needs a column that `row`, the first one,
  lacks."""
  columns = {**row, 'completion_ids': None}
  for name, reward in config.rewards.items():
    function = named(reward.function, _PACKAGE)
    signature = inspect.signature(function)
    try:
      signature.bind([], **{**columns, **reward.kwargs})
    except TypeError as error:
      code = inspect.unwrap(function).__code__
      raise ValueError(
        f'config.rewards.{name}.function is {reward.function!r} '
        f'({code.co_filename}, line {code.co_firstlineno}), which takes '
        f'{signature}: {error}; the first row has {sorted(columns)}: give the '
        f'rows this column, or write --config.rewards.{name}.kwargs'
      ) from None


def warn_of_marks(config: Config, row: Mapping[str, Any]) -> None:
  """Warns where a reward needs a mark before the right answer, such as '####',
  which no text of the prompt has."""
  if not _has_own_rows(config.data):
    return  # models are trained on the marks of our data
  for name, reward in config.rewards.items():
    function = named(reward.function, _PACKAGE)
    mark = _needed_mark(function, reward.kwargs, row) if reward.weight else ''
    if mark and mark not in _prompt_text(config, row):
      _log.warning(
        'config.rewards.%s.function=%s rewards %r and not %r, and data.%s does '
        'not have %s: write it there, or a reward that parses answers in any '
        'form, such as hybrid_latent.rewards.hrpo:correct',
        name,
        reward.function,
        _MARKED[mark].format(_gold(row)),
        _PLAIN.format(_gold(row)),
        'prompt_template' if config.data.prompt_template else 'system_prompt',
        mark,
      )


def _needed_mark(
  function: Callable, kwargs: Mapping[str, Any], row: Mapping[str, Any]
) -> str:
  """The mark without which a reward of this package is 0 for the answer of
  `row`; '' where it needs none, or is 0 in all known forms."""
  if not function.__module__.startswith(f'{_PACKAGE}.') or not _gold(row):
    return ''  # others run in worker processes alone
  with suppress(Exception):  # the grader raises it with its context
    if _paid(function, kwargs, row, _PLAIN) <= 0:
      for mark, form in _MARKED.items():
        if _paid(function, kwargs, row, form) > 0:
          return mark
  return ''


def _paid(function, kwargs, row, form: str) -> float:
  columns = {name: [value] for name, value in row.items()}
  text = form.format(_gold(row))
  grade, *_ = function([text], **columns, completion_ids=[[0]], **kwargs)
  return grade or 0.0


def _gold(row: Mapping[str, Any]) -> str:
  answer = row.get('answer', '')
  return answer if isinstance(answer, str) else answer[0]


def _prompt_text(config: Config, row: Mapping[str, Any]) -> str:
  """The texts of the prompt, and the texts forced into completions."""
  data, closing = config.data, config.rollout.forced_text
  instruction = data.prompt_template or data.system_prompt
  return '\n'.join(
    [instruction, data.prefill, row['question'], *closing.values()]
  )


def _has_own_rows(data: Config) -> bool:
  """Whether the rows are of files, or of a function outside this package."""
  source = named(data.function, 'hybrid_latent.data')
  return bool(data.get('path')) or not source.__module__.startswith(
    'hybrid_latent.'
  )
