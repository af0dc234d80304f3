r"""HRPO's reward: the answer after `####`, compared as a string.

In the paper (Yue et al., arXiv 2505.18454) the reward is 1 if the answer after
the delimiter is right, else 0. Its release also requires exactly one `####` in
the completion.

`parser='official'` reproduces the release, `parser='fixed'` corrects its
parsing errors:

  numbers  Thousands are split at their comma, in gold answers too: '1,000' is
           parsed as '0' and '2,125' as '125', so '#### 1000' is wrong for 1,000
           and '#### 2,000' is right. 93 of the 8792 answers of GSM8K have
           commas. Numbers pass through float64: 10**20 is parsed as '100.0',
           and 2**53 + 1 equals 2**53.
           A subtraction is parsed as a minus sign: '9-5' as '-5'.
  letters  The text is upper-cased first: 'B, as a rule' is parsed as 'A'.
  LaTeX    Without \boxed or dollars only the last number counts: '1/2' is
           parsed as '2', which is not \frac{1}{2}. '10,000' is not '10000'.
  all      An answer that cannot be parsed is '', and '' equals ''.

Where the release calls `eval` on a fraction, we divide: the value is equal, and
generated text is never executed.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from hybrid_latent.rewards import answers
from hybrid_latent.rewards.answers import Kind
from hybrid_latent.rewards.golds import Gold, texts
from hybrid_latent.rewards.latex import boxed, last_span, lower_spelled

Parser = Literal['official', 'fixed']
SYSTEM_PROMPT = (
  'A conversation between User and Assistant. The user asks a question, and '
  'the assistant solves it. The assistant first thinks about the reasoning '
  'process in the mind and then provides the user with the answer. The final '
  'answer is provided after the #### tag, i.e., {reasoning process} #### '
  '{answer}.'
)


def gsm8k(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  parser: Parser = 'official',
  **_,
) -> list[float | None]:
  """1 where the last number of the answer is the gold one, else 0."""
  return _rewards(completions, answer, 'number', parser)


def choice(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  parser: Parser = 'official',
  **_,
) -> list[float | None]:
  """1 where the last letter A-J of the answer is the gold one, else 0."""
  return _rewards(completions, answer, 'letter', parser)


def boxed_math(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  parser: Parser = 'official',
  **_,
) -> list[float | None]:
  r"""1 where the answer (boxed, else the last LaTeX span, else the last number)
  has the gold one's spelling under MATH's normalisation, else 0.

  A gold answer is LaTeX, or a solution with the answer in \boxed{}.
  """
  return _rewards(completions, answer, 'latex', parser)


def correct(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  kind: Kind = 'number',
  parser: Parser = 'official',
  **_,
) -> list[float | None]:
  """As the three above, without the condition on `####`: for evaluation.

  kind: how answers are parsed and compared.
  parser: 'official' parses answers as the release does, 'fixed' corrects its
    mistakes.
  """
  return _matches(completions, answer, kind, parser)


def parsed_answer(
  text: str, parser: str = 'official', kind: str = 'number'
) -> str:
  """The parsed answer after the last `####`, or in all of `text` without one;
  '' without an answer. `kind`: 'number', 'letter' or 'latex'."""
  if kind not in _READERS or parser not in _PARSERS:
    accepted = [(kind, parser) for kind in _READERS for parser in _PARSERS]
    raise ValueError(
      f'kind={kind!r} with parser={parser!r}: accepted is one of '
      f'{sorted(accepted)}'
    )
  if parser == 'fixed':
    return answers.read_answer(text, kind)
  return _READERS[kind](answers.after_delimiter(text))


def _rewards(
  completions: Sequence[str],
  golds: Sequence[Gold],
  kind: Kind,
  parser: Parser,
) -> list[float | None]:
  # None stays None, also without exactly one delimiter.
  return [
    right if right is None or text.count(answers.DELIMITER) == 1 else 0.0
    for text, right in zip(
      completions, _matches(completions, golds, kind, parser), strict=True
    )
  ]


def _matches(
  completions: Sequence[str],
  golds: Sequence[Gold],
  kind: Kind,
  parser: Parser,
) -> list[float | None]:
  """As `correct`; None without a gold answer, or where 'fixed' parses none."""
  if parser == 'fixed' and kind in _READERS:
    return answers.correct(completions, answer=golds, kind=kind)
  predictions = [parsed_answer(text, parser, kind) for text in completions]
  accepted = [
    {_READERS[kind](answers.gold_text(one, kind)) for one in texts(gold)}
    for gold in golds
  ]
  return [
    float(prediction in spellings) if spellings else None
    for prediction, spellings in zip(predictions, accepted, strict=True)
  ]


def _official_number(answer: str) -> str:
  numbers = re.findall(r'-?\d+/?\.?\d*', answer)
  return _through_float(numbers[-1]).rstrip('.').rstrip('/') if numbers else ''


def _through_float(number: str) -> str:
  """Python's text of a float64, without trailing zeros: '7.50' is '7.5'."""
  try:
    digits = str(_quotient(number)).rstrip('0')
  except (ValueError, ArithmeticError):
    return number
  if digits.endswith('.'):
    return str(int(digits[:-1]))
  return str(float(digits))


def _quotient(number: str) -> float:
  """The value of '3', '3.5', or '3/4' in Python's syntax."""
  above, slash, below = number.partition('/')
  if not slash:
    return float(number)
  # What Python's eval accepts: no leading zeros in an integer.
  if not re.fullmatch(r'-?(0+|[1-9][0-9]*)/(0+|[1-9][0-9]*|\.[0-9]+)', number):
    raise ValueError(number)
  return int(above) / (float(below) if '.' in below else int(below))


def _official_letter(answer: str) -> str:
  letters = re.findall(r'\b[A-J]\b', answer.upper())
  if letters:
    return letters[-1]
  return answer.strip().strip('.').rstrip('.').rstrip('/')


def _official_latex(answer: str) -> str:
  if 'boxed' in answer:
    answer = boxed(answer)
  else:
    answer = (
      last_span(answer) or (re.findall(r'-?\d*\.?\d+', answer) or [''])[-1]
    )
  return lower_spelled(answer)


_PARSERS = get_args(Parser)
_READERS: dict[str, Callable[[str], str]] = {
  'number': _official_number,
  'letter': _official_letter,
  'latex': _official_latex,
}
