r"""Extraction of a completion's answer, and its comparison with the gold one.

The answer is in the last \boxed{}, or after the last delimiter, as in
`#### 14`; `marker` selects one of the two.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from functools import partial
from typing import Literal

from hybrid_latent.rewards import math
from hybrid_latent.rewards.golds import Gold, texts
from hybrid_latent.rewards.latex import (
  boxed,
  last_span,
  lower_spelled,
  same_boxes,
  unwrapped,
)
from hybrid_latent.rewards.notation import (
  VARIABLES,
  last_number,
  plain,
  whole_number,
  without_words,
)

Kind = Literal['number', 'letter', 'latex']
Judge = Literal['math', 'number', 'letter', 'latex']
BOX = r'\boxed'
DELIMITER = '####'
# "B) Vitamin C", "The answer is (b).": a leading letter, or a lone one.
_LABEL = re.compile(
  r'(?:[A-Za-z ]*\b(?:answer|option|choice)(?: is\b)?)?\W*([A-Ja-j])'
  r'(?: ?[)\]}:*.]++(?!\w)|\W*\Z)',
  re.IGNORECASE,
)
_MOST_CHARACTERS = 1_000
_REFUSED = re.compile(r'\bnot (?:option |choice )?\W*[A-J]\b')
# An answer with a match is a formula, of which its last number is only a part.
_FORMULA = re.compile(
  r'[\\{}()\[\]^_<>|]|\d *[:;,] *-?\d|\d[A-Za-z](?![A-Za-z])'
  rf'|\d [ijknpqrtuvwxyz](?![A-Za-z])|\d ?{VARIABLES}|\b[A-Za-z] *[-+*/]'
)


def final_answer(text: str, marker: str = BOX) -> str:
  r"""The content of the last \boxed{}, or the text after another `marker`,
  stripped. '' without one, and for a box that does not close."""
  text = same_boxes(text) if marker == BOX else text
  _, mark, rest = text.rpartition(marker)
  if not mark or marker != BOX:
    return rest.strip() if mark else ''
  answer = boxed(text, BOX)
  return answer.strip() if rest.startswith(f'{{{answer}}}') else ''


def exact(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  marker: str = DELIMITER,
  **_,
) -> list[float | None]:
  """1 where the answer equals a gold answer as a string, else 0; None where
  the gold answer is blank."""
  predictions = [final_answer(text, marker) for text in completions]
  return matches(predictions, answer, str.strip)


def matches(
  predictions: Sequence[str],
  golds: Sequence[Gold],
  spelled: Callable[[str], str],
) -> list[float | None]:
  """1 where `spelled` of an answer equals that of a gold answer, else 0; None
  where those of the gold answers are all ''."""
  return [
    float(spelled(prediction) in spellings) if spellings else None
    for prediction, gold in zip(predictions, golds, strict=True)
    for spellings in [_spellings(gold, spelled)]
  ]


def correct(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  kind: Judge = 'math',
  **_,
) -> list[float | None]:
  """1 where the answer is right, else 0; None where the gold one cannot be
  parsed. `kind` is the judge: 'math' is `math.accuracy`; 'number', 'letter'
  and 'latex' compare the results of `read_answer`."""
  if kind not in _JUDGES:
    raise ValueError(f'kind={kind!r}: accepted is one of {sorted(_JUDGES)}')
  return _JUDGES[kind](completions, answer=answer)


def parse(text: str, kind: Judge = 'math') -> str | None:
  r"""The answer that `correct` reads in a completion; None without one.

  Numbers have one spelling, so that equal answers of several completions count
  as one: '1,000' is '1000', '.50' and \frac{1}{2} are '0.5', 2/6 is '1/3'. A
  formula of 'math' is as it is written, without \text{} or dollars around it.
  A text of more than 1,000 characters is none.
  """
  answer = _formula(text) if kind == 'math' else read_answer(text, kind)
  value = whole_number(answer) if kind in ('math', 'number') else None
  answer = answer if value is None else _numeral(value)
  return answer if 0 < len(answer) <= _MOST_CHARACTERS else None


def read_answer(text: str, kind: str = 'number') -> str:
  """The answer after the last `####`, or in all of `text` without one, in the
  canonical spelling of its kind; '' without an answer."""
  delimited = DELIMITER in text
  return _READERS[kind](after_delimiter(text), delimited)


def after_delimiter(text: str) -> str:
  """The text after the last `####`, or all of it without one, without a final
  full stop."""
  answer = text.split(DELIMITER)[-1].strip()
  if answer.endswith('.'):
    answer = answer[:-1].strip()
  return _bare(answer)


def gold_text(gold: str, kind: str) -> str:
  """A gold answer in the form of a completion's: LaTeX is in a box."""
  if kind == 'latex':
    latex = boxed(gold) if 'boxed' in gold else gold
    gold = rf'\boxed{{{latex.strip()}}}'
  return _bare(gold)


def _spellings(gold: Gold, spelled: Callable[[str], str]) -> set[str]:
  return {spelled(one) for one in texts(gold)} - {''}


def _compared(
  completions: Sequence[str], *, answer: Sequence[Gold], kind: str
) -> list[float | None]:
  rewards: list[float | None] = []
  for text, gold in zip(completions, answer, strict=True):
    predicted = {read_answer(text, kind)}
    golds = [gold_text(one, kind) for one in texts(gold)]
    # A gold letter is the whole text, or the first one of its option.
    expected = {_READERS[kind](one, kind == 'letter') for one in golds}
    if kind == 'latex':
      # A gold answer may have dollars inside, `$3$, $2$`: compare the whole
      # text as well as its last span.
      predicted.add(_latex_spelling(text.rpartition(DELIMITER)[2]))
      predicted, expected = ({*map(_valued, x)} for x in (predicted, expected))
    expected -= {''}
    rewards.append(
      float(not expected.isdisjoint(predicted)) if expected else None
    )
  return rewards


def _bare(answer: str) -> str:
  return answer.strip('\n').rstrip('.').rstrip('/').strip(' ')


def _formula(text: str) -> str:
  """What `math.accuracy` compares: the last box, else what is stated as the
  answer, else the last span or number."""
  text = same_boxes(text)
  if BOX in text:
    return unwrapped(boxed(text, BOX)).strip()
  if stated := math.stated_answer(text):
    return stated
  if span := last_span(text):
    return unwrapped(span).strip()
  value = last_number(text)
  return '' if value is None else f'{value}'


def _numeral(value: Fraction) -> str:
  """'0.5', '1/3', and of a very large or small number '4.5e33'."""
  below = value.denominator
  for prime in (2, 5):
    while below % prime == 0:
      below //= prime
  if below > 1:
    return f'{value}'
  exact = Context(prec=4000)  # more than the digits of any number that is read
  decimal = exact.divide(Decimal(value.numerator), Decimal(value.denominator))
  text = f'{decimal:f}'
  if -5 < decimal.adjusted() < 15:
    return text
  short = f'{exact.normalize(decimal)}'.replace('E', 'e').replace('e+', 'e')
  return min(text, short, key=len)


def _number(answer: str, delimited: bool) -> str:
  """The last number as an exact fraction in lowest terms: '1000', '3/4'."""
  box = boxed(answer, BOX)
  # A Fraction has one text per value: strings can be compared.
  value = last_number(box or answer)
  return '' if value is None else str(value)


def _letter(answer: str, delimited: bool) -> str:
  """The letter of a choice, in the box if there is one. After the delimiter a
  leading letter, as of an option, is the answer; else the last single capital
  that does not begin a phrase, as 'A' and 'I' do; else the last single capital;
  or a lower-case letter that is the whole text."""
  if box := boxed(answer, BOX):
    answer, delimited = box, True
  answer = re.sub(r'\\[A-Za-z]+|_', ' ', unicodedata.normalize('NFKC', answer))
  answer = _REFUSED.sub(' ', answer)
  if label := _LABEL.match(answer) if delimited else None:
    return label[1].upper()
  capitals = re.findall(r"\b[A-J]\b(?! [a-z]|['’])", answer)
  capitals = capitals or re.findall(r'\b[A-J]\b', answer)
  alone = re.fullmatch(r'\W*([a-j])\W*', answer)
  return capitals[-1] if capitals else alone[1].upper() if alone else ''


def _latex(answer: str, delimited: bool) -> str:
  """LaTeX in the box or the last span. After the delimiter a formula needs
  neither; elsewhere the last number or fraction is the answer."""
  answer = plain(answer)
  if 'boxed' in answer:
    return _latex_spelling(boxed(answer))
  if span := last_span(answer):
    return _latex_spelling(span)
  number = r'(?:(?<![\w)])-)?\d[\d,]*(?:\.\d+)?(?:/\d+)?|-?\.\d+'
  last = (re.findall(number, answer) or [''])[-1]
  whole = delimited and (not last or _FORMULA.search(answer))
  return _latex_spelling(answer if whole else last)


def _latex_spelling(answer: str) -> str:
  """The spelling of all of `answer`, without dollars, words around a number and
  the commas of thousands."""
  bare = plain(unwrapped(answer)).replace('$', '').strip(' \n*').rstrip('.')
  bare = re.sub(
    r'\\text\{ *(?:or|and) *\}', ',', bare
  )  # else dropped as a unit
  spelling = lower_spelled(without_words(bare))
  if re.fullmatch(r'-?\d{1,3}(,\d{3})+(\.\d+)?', spelling):
    spelling = spelling.replace(',', '')
  return spelling


def _valued(spelling: str) -> str:
  """The value of a number, so that 0.50 equals 1/2; other text unchanged."""
  value = whole_number(spelling)
  return spelling if value is None else str(value)


_READERS: dict[str, Callable[[str, bool], str]] = {
  'number': _number,
  'letter': _letter,
  'latex': _latex,
}
_JUDGES: dict[str, Callable[..., list[float | None]]] = {
  'math': math.accuracy,
  **{kind: partial(_compared, kind=kind) for kind in _READERS},
}
