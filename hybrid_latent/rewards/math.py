r"""Is the mathematics right? Hugging Face's math-verify is the judge.

It compares values, not strings: 1/2, 0.5 and \frac{1}{2} are equal. It runs
sympy on text that a model wrote, so it belongs into a `Grader`, whose worker is
killed when sympy cannot be stopped otherwise.

A grade depends on the texts alone. math-verify's own limits are of wall-clock
time and are off. What is too large to be an answer is wrong before sympy is
asked: more than 1,000 characters, brackets more than 8 deep, more than 100
digits side by side, a number of more than 10,000 bits. Without a box only the
last 2,000 characters are searched. What is left is read in milliseconds; where
it still takes more than `seconds` of CPU time, it is not judged.
"""

import logging
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from hybrid_latent.ranges import Pattern, PositiveFloat
from hybrid_latent.rewards.cpu_limit import CPULimitExceededError, cpu_limit
from hybrid_latent.rewards.latex import boxed
from hybrid_latent.rewards.magnitude import bits
from hybrid_latent.rewards.notation import plain, without_words

try:
  from math_verify import (
    ExprExtractionConfig,
    LatexExtractionConfig,
    parse,
    verify,
  )
except ModuleNotFoundError as error:
  error.msg += ': pip install "hybrid-latent[train]"'
  raise

# Without a limit of its own, it warns that it has none.
for part in ('parser', 'grader'):
  logging.getLogger(f'math_verify.{part}').setLevel(logging.ERROR)

# A \boxed{} counts before anything else that looks like mathematics.
_FORMS = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())
_BOX = r'\boxed'
_CHARACTERS, _SEARCHED, _DEPTH, _DIGITS, _BITS = 1_000, 2_000, 8, 100, 10_000
_GOLD_SECONDS = 30.0  # of CPU time: a gold answer is trusted
_BRACKET = re.compile(r'[({\[]|[)}\]]')
_DOLLAR = re.compile(r'(?<!\\)\$')


def accuracy(
  completions: Sequence[str],
  *,
  answer: Sequence[str | Sequence[str]],
  seconds: PositiveFloat = 3.0,
  **_,
) -> list[float | None]:
  r"""1 where math-verify finds the completion equal to the gold answer, or to
  one of several, else 0; None where it cannot read the gold answer, or ran out
  of CPU time.

  Args:
    completions: texts; the last \boxed{} counts, else the last mathematics.
      Several answers belong into one box, with commas.
    answer: gold answers, LaTeX with or without dollars or \boxed{}.
    seconds: CPU time for reading and comparing a completion. Only the main
      thread of a process on Unix can be interrupted; elsewhere there is no
      limit.
  """
  return [
    equal(text, gold, seconds)
    for text, gold in zip(completions, answer, strict=True)
  ]


def format(completions: Sequence[str], *, pattern: Pattern, **_) -> list[float]:
  r"""1 where the whole completion matches the regular expression, else 0.

  r'.*\\boxed\{.+\}.*' asks for a boxed answer,
  r'(?!.*####.*####).*####.*' for the delimiter #### exactly once,
  r'<think>(?!.*<think>).*?</think>.*' for one thought at the start.
  A pattern that tries many ways to match takes as long: write `(?>..)` and `*+`
  where the first way is as good as any other.
  """
  whole = re.compile(pattern, re.DOTALL)
  return [float(whole.fullmatch(text) is not None) for text in completions]


def equal(
  text: str, gold: str | Sequence[str], seconds: float = 3.0
) -> float | None:
  """`accuracy` of one completion."""
  several = [gold] if isinstance(gold, str) else gold
  each = [_equal(text, one, seconds) for one in several]
  if 1.0 in each:
    return 1.0
  return None if None in each or not each else 0.0


def _equal(text: str, gold: str, seconds: float) -> float | None:
  want = _gold(gold)
  if not want:
    return None
  in_box = _BOX in text
  found = boxed(text, _BOX) if in_box else text
  if _bare(found) == _bare(boxed(gold, _BOX) or gold):
    return 1.0  # whatever sympy makes of it
  if in_box and _too_large(found):
    return 0.0
  # math-verify takes two boxes of one sentence for a set.
  latex = _box(found) if in_box else _ending(text)
  try:
    with cpu_limit(seconds):
      read = _read(latex)
      if any(bits(value) > _BITS for value in read):
        return 0.0
      return float(verify(list(want), read, timeout_seconds=0))
  except CPULimitExceededError:
    return None


@lru_cache(maxsize=4096)
def _gold(gold: str) -> tuple[Any, ...]:
  """What math-verify reads in a gold answer, () where it reads nothing."""
  _warm()
  latex = boxed(gold, _BOX)
  if not _bare(latex or gold):
    return ()
  marked = plain(gold) if _DOLLAR.search(gold) else f'${_clean(gold)}$'
  try:
    with cpu_limit(_GOLD_SECONDS):
      return tuple(
        _read(_box(latex)) if latex else _read(marked) or _read(_box(gold))
      )
  except CPULimitExceededError:
    return ()


@cache
def _warm() -> None:
  """The first parse and the first comparison build tables of grammar, up to a
  second of CPU time that is no completion's."""
  for one, other in ((r'$\frac{x}{2}$', '$x/3$'), (r'$x \le 2$', '$x<3$')):
    verify(_read(one), _read(other), timeout_seconds=0)


def _read(text: str) -> list[Any]:
  return parse(text, _FORMS, extraction_mode='first_match', parsing_timeout=0)


def _box(latex: str) -> str:
  return f'{_BOX}{{{_clean(latex)}}}'


def _clean(latex: str) -> str:
  return without_words(plain(latex).strip().rstrip('.').rstrip())


def _bare(latex: str) -> str:
  return latex.strip().strip('$').strip()


def _ending(text: str) -> str:
  """The lines, or the part of a line, that end within _SEARCHED characters."""
  ending = plain(text[-_SEARCHED:])[-_SEARCHED:]
  _, line_end, lines = ending.partition('\n')
  return lines if line_end and len(text) > _SEARCHED else ending


def _too_large(latex: str) -> bool:
  if len(latex) > _CHARACTERS:
    return True
  latex, depth = plain(latex), 0
  if len(latex) > _CHARACTERS:
    return True
  for bracket in _BRACKET.finditer(latex):
    depth = depth + 1 if bracket[0] in '({[' else max(depth - 1, 0)
    if depth > _DEPTH:
      return True
  return re.search(rf'\d{{{_DIGITS + 1}}}', latex) is not None
