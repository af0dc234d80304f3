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
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal

from hybrid_latent.rewards.golds import Gold, texts
from hybrid_latent.rewards.latex import boxed, last_span, spelled, unwrapped
from hybrid_latent.rewards.notation import (
  VARIABLES,
  last_number,
  plain,
  whole_number,
  without_words,
)

Kind = Literal['number', 'letter', 'latex']
Parser = Literal['official', 'fixed']
DELIMITER = '####'
# What has one is more than its last number.
# "B) Vitamin C", "The answer is (b).": the letter in front, or a lone one.
_LABEL = re.compile(
  r'(?:[A-Za-z ]*\b(?:answer|option|choice)(?: is\b)?)?\W*([A-Ja-j])'
  r'(?: ?[)\]}:*.]++(?!\w)|\W*\Z)',
  re.IGNORECASE,
)
_REFUSED = re.compile(r'\bnot (?:option |choice )?\W*[A-J]\b')
_FORMULA = re.compile(
  r'[\\{}()\[\]^_<>|]|\d *[:;,] *-?\d|\d[A-Za-z](?![A-Za-z])'
  rf'|\d [ijknpqrtuvwxyz](?![A-Za-z])|\d ?{VARIABLES}|\b[A-Za-z] *[-+*/]'
)
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
  if (kind, parser) not in _READERS:
    raise ValueError(
      f'kind={kind!r} with parser={parser!r}: there is {sorted(_READERS)}'
    )
  answer = text.split(DELIMITER)[-1].strip()
  if answer.endswith('.'):
    answer = answer[:-1].strip()
  answer = _bare(answer)
  if parser == 'fixed' and kind == 'latex':
    return _fixed_latex(answer, delimited=DELIMITER in text)
  if parser == 'fixed' and kind == 'letter':
    return _fixed_letter(answer, delimited=DELIMITER in text)
  return _READERS[kind, parser](answer)


def _rewards(
  completions: Sequence[str], golds: Sequence[Gold], kind: str, parser: str
) -> list[float | None]:
  return [
    right if right is None or text.count(DELIMITER) == 1 else 0.0
    for text, right in zip(
      completions, _matches(completions, golds, kind, parser), strict=True
    )
  ]


def _matches(
  completions: Sequence[str], golds: Sequence[Gold], kind: str, parser: str
) -> list[float | None]:
  """None without a gold answer, or where 'fixed' can read none."""
  read = [{parsed_answer(text, parser, kind)} for text in completions]
  want = [
    {_READERS[kind, parser](_bare(_gold(one, kind))) for one in texts(gold)}
    for gold in golds
  ]
  if (kind, parser) == ('latex', 'fixed'):
    # A gold answer may have dollars within: `$3$, $2$`.
    endings = [text.rpartition(DELIMITER)[2] for text in completions]
    read = [
      {_valued(spelling) for spelling in one | {_fixed_spelling(end)}}
      for one, end in zip(read, endings, strict=True)
    ]
    want = [{*map(_valued, spellings)} for spellings in want]
  if parser == 'fixed':
    want = [spellings - {''} for spellings in want]
  return [
    float(not gold.isdisjoint(one)) if gold else None
    for one, gold in zip(read, want, strict=True)
  ]


def _gold(answer: str, kind: str) -> str:
  if kind != 'latex':
    return answer
  latex = boxed(answer) if 'boxed' in answer else answer
  return rf'\boxed{{{latex.strip()}}}'


def _bare(answer: str) -> str:
  return answer.strip('\n').rstrip('.').rstrip('/').strip(' ')


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


def _fixed_number(answer: str) -> str:
  """The last number as an exact fraction in lowest terms: '1000', '3/4'."""
  box = boxed(answer, r'\boxed')
  value = last_number(box or answer)
  return '' if value is None else str(value)


def _official_letter(answer: str) -> str:
  found = re.findall(r'\b[A-J]\b', answer.upper())
  return (
    found[-1] if found else answer.strip().strip('.').rstrip('.').rstrip('/')
  )


def _fixed_letter(answer: str, delimited: bool = True) -> str:
  """What is in the box counts. Behind the delimiter a letter in front, as of an
  option, is the answer; else the last capital that stands alone and does not
  begin a phrase, as 'A' and 'I' do; else the last that stands alone; or a small
  letter that is all."""
  if box := boxed(answer, r'\boxed'):
    answer, delimited = box, True
  answer = re.sub(r'\\[A-Za-z]+|_', ' ', unicodedata.normalize('NFKC', answer))
  answer = _REFUSED.sub(' ', answer)
  if label := _LABEL.match(answer) if delimited else None:
    return label[1].upper()
  found = re.findall(r"\b[A-J]\b(?! [a-z]|['’])", answer)
  found = found or re.findall(r'\b[A-J]\b', answer)
  alone = re.fullmatch(r'\W*([a-j])\W*', answer)
  return found[-1] if found else alone[1].upper() if alone else ''


def _official_latex(answer: str) -> str:
  if 'boxed' in answer:
    answer = boxed(answer)
  else:
    answer = last_span(answer) or _last(r'-?\d*\.?\d+', answer)
  return _lower(answer)


def _fixed_latex(answer: str, delimited: bool = False) -> str:
  """Behind the delimiter a formula needs no box and no dollars; a bare fraction
  is read, and the commas of thousands are dropped."""
  answer = plain(answer)
  if 'boxed' in answer:
    return _fixed_spelling(boxed(answer))
  if span := last_span(answer):
    return _fixed_spelling(span)
  number = r'(?:(?<![\w)])-)?\d[\d,]*(?:\.\d+)?(?:/\d+)?|-?\.\d+'
  found = _last(number, answer)
  whole = delimited and (not found or _FORMULA.search(answer))
  return _fixed_spelling(answer if whole else found)


def _fixed_spelling(answer: str) -> str:
  """Of all that `answer` holds: no dollars, and of a number no words."""
  bare = plain(unwrapped(answer)).replace('$', '').strip(' \n*').rstrip('.')
  bare = re.sub(r'\\text\{ *(?:or|and) *\}', ',', bare)  # no unit
  spelling = _lower(without_words(bare))
  if re.fullmatch(r'-?\d{1,3}(,\d{3})+(\.\d+)?', spelling):
    spelling = spelling.replace(',', '')
  return spelling


def _valued(spelling: str) -> str:
  """0.50 and 1/2 are one number."""
  value = whole_number(spelling)
  return spelling if value is None else str(value)


def _last(pattern: str, text: str) -> str:
  return (re.findall(pattern, text) or [''])[-1]


def _lower(answer: str) -> str:
  spelling = spelled(answer).rstrip('.').rstrip('/')
  closed, brace, rest = spelling.rpartition('}')  # none is open beyond
  unwrapped = re.sub(r'\\text\{([^}]*)\}', r'\1', closed + brace)
  return (unwrapped + rest).lower()


_READERS: dict[tuple[str, str], Callable[[str], str]] = {
  ('number', 'official'): _official_number,
  ('number', 'fixed'): _fixed_number,
  ('letter', 'official'): _official_letter,
  ('letter', 'fixed'): _fixed_letter,
  ('latex', 'official'): _official_latex,
  ('latex', 'fixed'): _fixed_latex,
}
