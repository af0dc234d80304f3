r"""Is the mathematics right? Hugging Face's math-verify is the judge.

It compares values, not strings: 1/2, 0.5 and \frac{1}{2} are equal. It runs
sympy on text that a model wrote, so it belongs into a `Grader`, whose worker is
killed when sympy cannot be stopped otherwise.
"""

import logging
import re
from collections.abc import Sequence

from hybrid_latent.rewards.latex import boxed

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

# On a timeout it logs the whole text, as a warning.
for part in ('parser', 'grader'):
  logging.getLogger(f'math_verify.{part}').setLevel(logging.ERROR)

# A \boxed{} counts before anything else that looks like mathematics.
_FORMS = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())


def accuracy(
  completions: Sequence[str],
  *,
  answer: Sequence[str],
  seconds: int = 1,
  **_,
) -> list[float | None]:
  r"""1 where math-verify finds the completion equal to the gold answer, else 0;
  None where it cannot read the gold answer.

  Args:
    completions: texts; the last \boxed{} counts, else the last mathematics.
      Several answers belong into one box, with commas.
    answer: gold answers, LaTeX with or without dollars or \boxed{}.
    seconds: whole seconds, at least 1, that reading a completion may take, and
      comparing it as long again; a completion that takes longer is wrong. Let
      the grader wait longer than 2 * seconds * group.
  """
  return [
    equal(text, gold, seconds)
    for text, gold in zip(completions, answer, strict=True)
  ]


def format(completions: Sequence[str], *, pattern: str, **_) -> list[float]:
  r"""1 where the whole completion matches the regular expression, else 0.

  r'.*\\boxed\{.+\}.*' asks for a boxed answer,
  r'(?!.*####.*####).*####.*' for the delimiter #### exactly once,
  r'<think>(?!.*<think>).*?</think>.*' for one thought at the start.
  """
  whole = re.compile(pattern, re.DOTALL)
  return [float(whole.fullmatch(text) is not None) for text in completions]


def equal(text: str, gold: str, seconds: int = 1) -> float | None:
  """`accuracy` of one completion."""
  marked = gold if '$' in gold or 'boxed' in gold else f'${gold}$'
  want = parse(marked, _FORMS, parsing_timeout=seconds)
  if not want:
    return None
  if r'\boxed' in text:
    # math-verify takes two boxes of one sentence for a set.
    text = '\\boxed{' + boxed(text, r'\boxed') + '}'
  read = parse(
    text, _FORMS, extraction_mode='first_match', parsing_timeout=seconds
  )
  return float(verify(want, read, timeout_seconds=seconds))
