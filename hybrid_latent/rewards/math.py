r"""The accuracy of mathematical answers, by Hugging Face's math-verify.

It compares values, not strings: 1/2, 0.5 and \frac{1}{2} are equal. It runs
sympy on generated text, so it should run in a `Grader`, whose worker is killed
when sympy cannot be stopped otherwise.

A grade depends on the texts alone: math-verify's limits of wall-clock time are
off. Answers that are too large are wrong without a call of sympy: more than
1,000 characters, brackets nested more than 8 deep, more than 100 consecutive
digits, a number of more than 10,000 bits. Without a box only the last 2,000
characters are searched. The others are parsed in milliseconds; one that takes
more than `seconds` of CPU time is ungraded.
"""

import logging
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

from hybrid_latent.extras import needs
from hybrid_latent.ranges import Pattern, PositiveFloat
from hybrid_latent.rewards.cpu_limit import CPULimitExceededError, cpu_limit
from hybrid_latent.rewards.golds import Gold, texts
from hybrid_latent.rewards.latex import boxed, same_boxes, unwrapped
from hybrid_latent.rewards.notation import plain, whole_number, without_words

# Imported on the first use, except in the worker of a `Grader`: a trainer reads
# answers, and only its workers compare them by sympy.
needs('train', 'math_verify', 'sympy')

# With its limits off, it warns about that.
for part in ('parser', 'grader'):
  logging.getLogger(f'math_verify.{part}').setLevel(logging.ERROR)

_BOX = r'\boxed'
_CHARACTERS, _SEARCHED, _DEPTH, _DIGITS, _BITS = 1_000, 2_000, 8, 100, 10_000
_GOLD_SECONDS = 30.0  # of CPU time: a gold answer is trusted
_BRACKET = re.compile(r'[({\[]|[)}\]]')
_SPAN = re.compile(r'(?<!\\)(?:\$|\\[(\[])')
_PERCENT = re.compile(r' *\\?%\Z')
_DEGREES = re.compile(r' *\^ *\{? *\\circ *\}?\Z')
_NAMED = re.compile(r'[A-Za-z] *= *')
_STATED = re.compile(r'####|\banswer(?: is\b)?', re.IGNORECASE)
_TUPLE = re.compile(r'[(\[][^()\[\]]*,[^()\[\]]*[)\]]')
_SET = re.compile(r'\\\{[^{}]*,.*\\\}', re.DOTALL)
# math-verify rounds to six decimals, which loses all digits of a small number.
_TOLERANCE = Fraction(1, 10_000)


def accuracy(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  seconds: PositiveFloat = 3.0,
  **_,
) -> list[float | None]:
  r"""1 where math-verify finds the completion equal to the gold answer, or to
  one of several, else 0; None where it cannot parse the gold answer, or exceeds
  the CPU time.

  Args:
    completions: texts; the last \boxed{} counts, else the last mathematics.
      Several answers are in one box, with commas.
    answer: gold answers, LaTeX with or without dollars or \boxed{}.
    seconds: limit of CPU time per completion. Only the main thread of a process
      on Unix can be interrupted; elsewhere there is no limit.
  """
  return [
    equal(text, gold, seconds)
    for text, gold in zip(completions, answer, strict=True)
  ]


def format(completions: Sequence[str], *, pattern: Pattern, **_) -> list[float]:
  r"""1 where the whole completion matches the regular expression, else 0.

  r'.*\\boxed\{.+\}.*' requires a boxed answer,
  r'(?!.*####.*####).*####.*' the delimiter #### exactly once,
  r'<think>(?!.*<think>).*?</think>.*' one thinking block at the start.
  Backtracking may take exponential time: write `(?>..)` and `*+` where the
  first match is as good as any other.
  """
  whole = re.compile(pattern, re.DOTALL)
  return [float(whole.fullmatch(text) is not None) for text in completions]


def equal(text: str, gold: Gold, seconds: float = 3.0) -> float | None:
  """`accuracy` of one completion."""
  # Right if any gold answer is; ungraded if one could not be compared.
  each = [_equal(text, one, seconds) for one in texts(gold) if one.strip()]
  if 1.0 in each:
    return 1.0
  return None if None in each or not each else 0.0


def stated_answer(text: str) -> str:
  """The text after the last "The answer is", "Answer:" or ####, '' without
  one."""
  ending = text[-_CHARACTERS:]
  starts = [match.end() for match in _STATED.finditer(ending)]
  stated = ending[starts[-1] :] if starts else ''
  return _bare(stated.lstrip(' :*').rstrip(' *.\n').removesuffix('</answer>'))


def _equal(text: str, gold: str, seconds: float) -> float | None:
  gold, text = same_boxes(gold), same_boxes(text)
  if not _gold(gold):
    return None
  in_box = _BOX in text
  answer = boxed(text, _BOX) if in_box else text
  bare, bare_gold = _bare(answer), _bare(boxed(gold, _BOX) or gold)
  # The cheap comparisons first: most answers never reach sympy.
  if bare == bare_gold:
    return 1.0
  stated = '' if in_box else stated_answer(text)
  if stated and (stated == bare_gold or _same_number(stated, bare_gold)):
    return 1.0
  if in_box and _too_large(answer):
    return 0.0
  if (same := _same_number(bare, bare_gold)) is not None:
    return float(same)
  forms = [_form(bare), _form(bare_gold)]
  if all(forms) and forms[0] != forms[1]:
    return 0.0
  # Only the last box: math-verify parses two boxes of one sentence as a set.
  latex = _box(answer) if in_box else _ending(text)
  try:
    with cpu_limit(seconds):
      return _compared(gold, latex)
  except CPULimitExceededError:
    return None


@lru_cache(maxsize=4096)  # completions of one prompt repeat their answers
def _compared(gold: str, latex: str) -> float:
  from hybrid_latent.rewards.magnitude import bits

  values = _read(latex)
  if any(bits(value) > _BITS for value in values):
    return 0.0
  return float(_verified(_gold(gold), values))


@lru_cache(maxsize=4096)
def _gold(gold: str) -> tuple[Any, ...]:
  """The values that math-verify parses from a gold answer, () for none."""
  _warm()
  latex = boxed(gold, _BOX)
  if not _bare(latex or gold):
    return ()
  # math-verify finds LaTeX only between delimiters.
  marked = plain(gold) if _SPAN.search(gold) else f'${_clean(gold)}$'
  try:
    with cpu_limit(_GOLD_SECONDS):
      return tuple(
        _read(_box(latex)) if latex else _read(marked) or _read(_box(gold))
      )
  except CPULimitExceededError:
    return ()


@cache
def _warm() -> None:
  """The first parse and the first comparison build grammar tables, up to a
  second of CPU time that must not count for a completion."""
  for one, other in ((r'$\frac{x}{2}$', '$x/3$'), (r'$x \le 2$', '$x<3$')):
    _verified(_read(one), _read(other))


def _read(text: str) -> list[Any]:
  import math_verify as mv

  # A \boxed{} has priority over any other mathematics.
  latex = mv.LatexExtractionConfig(boxed_match_priority=0)
  return mv.parse(
    text,
    (latex, mv.ExprExtractionConfig()),
    extraction_mode='first_match',
    parsing_timeout=0,
  )


def _box(latex: str) -> str:
  return f'{_BOX}{{{_clean(latex)}}}'


def _clean(latex: str) -> str:
  return without_words(plain(unwrapped(latex)).strip().rstrip('.').rstrip())


def _verified(gold: Sequence[Any], values: Sequence[Any]) -> bool:
  from math_verify import verify

  return verify(
    [*gold], [*values], allow_set_relation_comp=True, timeout_seconds=0
  )


def _bare(latex: str) -> str:
  """`unwrapped`, and a letter without its parentheses."""
  letter = re.fullmatch(r'\(([A-Z])\)', bare := unwrapped(latex).strip('$ '))
  return letter[1] if letter else bare


def _form(latex: str) -> str:
  """'set', 'tuple' or '': math-verify takes {1, 2} and (1, 2) as equal."""
  if _SET.fullmatch(latex):
    return 'set'
  return 'tuple' if _TUPLE.fullmatch(latex) else ''


def _same_number(answer: str, gold: str) -> bool | None:
  """Whether two numbers are equal; None where one is not a single number, or
  where they are so close that one may be rounded."""
  if max(len(answer), len(gold)) > _CHARACTERS:
    return None
  values = [_DEGREES.sub('', _clean(text)) for text in (answer, gold)]
  # 'x = 5' equals '5'; two named values are left to math-verify.
  if not all(map(_NAMED.match, values)):
    values = [_NAMED.sub('', text) for text in values]
  scales = [100 if _PERCENT.search(text) else 1 for text in values]
  one, other = [whole_number(_PERCENT.sub('', text)) for text in values]
  if one is None or other is None:
    return None
  # 50% is 50 as well as 0.5.
  others = {other, other * scales[0] / scales[1]}
  if one in others:
    return True
  if any(abs(one - x) <= _TOLERANCE * abs(x) for x in others):
    return None
  return False


def _ending(text: str) -> str:
  """The last _SEARCHED characters, from a line start if there is one."""
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
