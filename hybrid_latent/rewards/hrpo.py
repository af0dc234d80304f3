r"""HRPO's reward: the answer after `####`, compared as a string.

The paper (Yue et al., arXiv 2505.18454) says: reward 1 if the answer after the
delimiter is right, else 0. Its release asks, besides, for exactly one `####`
in the completion.

We do what the release does (`parser='official'`), and offer it without its
parsing mistakes (`parser='fixed'`). The official ones, reproduced:

  numbers  Thousands are cut at their comma, in gold answers too: '1,000' reads
           '0' and '2,125' reads '125', so '#### 1000' is wrong for 1,000 and
           '#### 2,000' is right. 93 of the 8792 answers of GSM8K have commas.
           Numbers pass through float64: 10**20 reads '100.0', and 2**53 + 1
           equals 2**53.
           A minus sign may be a subtraction: '9-5' reads '-5'.
  letters  The text is upper-cased first: 'B, as a rule' reads 'A'.
  LaTeX    Without \boxed or dollars only the last number counts: '1/2' reads
           '2', which is not \frac{1}{2}. '10,000' is not '10000'.
  all      An answer that cannot be read is '', and '' equals ''.

Where the release calls `eval` on a fraction, we divide: same value, and no
text of a model is ever run.
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
  is spelled as the gold one is, by MATH's rules of spelling, else 0.

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
  """As the three above, without the condition on `####`: for evaluation."""
  return _matches(completions, answer, kind, parser)


def parsed_answer(
  text: str, parser: str = 'official', kind: str = 'number'
) -> str:
  """What the parser reads after the last `####`, or in all of `text` if there
  is none; '' where it finds nothing. `kind`: 'number', 'letter' or 'latex'."""
  if kind not in _READERS or parser not in _PARSERS:
    accepted = [(kind, parser) for kind in _READERS for parser in _PARSERS]
    raise ValueError(
      f'kind={kind!r} with parser={parser!r}: there is {sorted(accepted)}'
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
  """None without a gold answer, or where 'fixed' can read none."""
  if parser == 'fixed' and kind in _READERS:
    return answers.correct(completions, answer=golds, kind=kind)
  read = [parsed_answer(text, parser, kind) for text in completions]
  want = [
    {_READERS[kind](answers.gold_text(one, kind)) for one in texts(gold)}
    for gold in golds
  ]
  return [
    float(one in spellings) if spellings else None
    for one, spellings in zip(read, want, strict=True)
  ]


def _official_number(answer: str) -> str:
  found = re.findall(r'-?\d+/?\.?\d*', answer)
  return _through_float(found[-1]).rstrip('.').rstrip('/') if found else ''


def _through_float(number: str) -> str:
  """float64 as Python prints it, trailing zeros dropped: '7.50' is '7.5'."""
  try:
    digits = str(_quotient(number)).rstrip('0')
  except (ValueError, ArithmeticError):
    return number
  if digits.endswith('.'):
    return str(int(digits[:-1]))
  return str(float(digits))


def _quotient(number: str) -> float:
  """The value of '3', '3.5', or, as Python source would have it, '3/4'."""
  above, slash, below = number.partition('/')
  if not slash:
    return float(number)
  if not re.fullmatch(r'-?(0+|[1-9][0-9]*)/(0+|[1-9][0-9]*|\.[0-9]+)', number):
    raise ValueError(number)
  return int(above) / (float(below) if '.' in below else int(below))


def _official_letter(answer: str) -> str:
  found = re.findall(r'\b[A-J]\b', answer.upper())
  return (
    found[-1] if found else answer.strip().strip('.').rstrip('.').rstrip('/')
  )


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
