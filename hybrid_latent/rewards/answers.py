r"""Where a completion holds its answer, and whether it is the gold one.

An answer stands in a box, the last \boxed{}, or behind the last delimiter, as
in `#### 14`; `marker` says which of the two.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
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
# "B) Vitamin C", "The answer is (b).": the letter in front, or a lone one.
_LABEL = re.compile(
  r'(?:[A-Za-z ]*\b(?:answer|option|choice)(?: is\b)?)?\W*([A-Ja-j])'
  r'(?: ?[)\]}:*.]++(?!\w)|\W*\Z)',
  re.IGNORECASE,
)
_REFUSED = re.compile(r'\bnot (?:option |choice )?\W*[A-J]\b')
# What has one is more than its last number.
_FORMULA = re.compile(
  r'[\\{}()\[\]^_<>|]|\d *[:;,] *-?\d|\d[A-Za-z](?![A-Za-z])'
  rf'|\d [ijknpqrtuvwxyz](?![A-Za-z])|\d ?{VARIABLES}|\b[A-Za-z] *[-+*/]'
)


def final_answer(text: str, marker: str = BOX) -> str:
  r"""What the last \boxed{} holds, or what follows any other `marker`, without
  the spaces around it. '' where there is none; a box that does not close holds
  no answer."""
  text = same_boxes(text) if marker == BOX else text
  _, found, rest = text.rpartition(marker)
  if not found or marker != BOX:
    return rest.strip() if found else ''
  answer = boxed(text, BOX)
  return answer.strip() if rest.startswith(f'{{{answer}}}') else ''


def exact(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  marker: str = DELIMITER,
  **_,
) -> list[float | None]:
  """1 where the answer is the gold one, or one of several, letter by letter,
  else 0; None where the gold one is blank."""
  found = [final_answer(text, marker) for text in completions]
  return matches(found, answer, str.strip)


def matches(
  found: Sequence[str],
  golds: Sequence[Gold],
  spelled: Callable[[str], str],
) -> list[float | None]:
  """1 where an answer is spelled as one of its gold answers is, else 0; None
  where these are all spelled ''."""
  return [
    float(spelled(one) in wanted) if wanted else None
    for one, gold in zip(found, golds, strict=True)
    for wanted in [_spellings(gold, spelled)]
  ]


def correct(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  kind: Judge = 'math',
  **_,
) -> list[float | None]:
  """1 where the answer is right, else 0; None where the gold one cannot be
  read. `kind` names the judge: 'math' is `math.accuracy`; 'number', 'letter'
  and 'latex' compare what `read_answer` reads."""
  if kind not in _JUDGES:
    raise ValueError(f'kind={kind!r}: there is {sorted(_JUDGES)}')
  return _JUDGES[kind](completions, answer=answer)


def read_answer(text: str, kind: str = 'number') -> str:
  """What stands after the last `####`, or in all of `text` if there is none, in
  the one spelling of its kind; '' where nothing is found."""
  delimited = DELIMITER in text
  return _READERS[kind](after_delimiter(text), delimited)


def after_delimiter(text: str) -> str:
  """What follows the last `####`, or all, without a full stop at its end."""
  answer = text.split(DELIMITER)[-1].strip()
  if answer.endswith('.'):
    answer = answer[:-1].strip()
  return _bare(answer)


def gold_text(gold: str, kind: str) -> str:
  """A gold answer as a completion would have it: LaTeX is in a box."""
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
    found = {read_answer(text, kind)}
    golds = [gold_text(one, kind) for one in texts(gold)]
    # A gold letter is all that there is, or the first of its option.
    want = {_READERS[kind](one, kind == 'letter') for one in golds}
    if kind == 'latex':
      # A gold answer may have dollars within: `$3$, $2$`.
      found.add(_latex_spelling(text.rpartition(DELIMITER)[2]))
      found, want = ({*map(_valued, x)} for x in (found, want))
    want -= {''}
    rewards.append(float(not want.isdisjoint(found)) if want else None)
  return rewards


def _bare(answer: str) -> str:
  return answer.strip('\n').rstrip('.').rstrip('/').strip(' ')


def _number(answer: str, delimited: bool) -> str:
  """The last number as an exact fraction in lowest terms: '1000', '3/4'."""
  box = boxed(answer, BOX)
  value = last_number(box or answer)
  return '' if value is None else str(value)


def _letter(answer: str, delimited: bool) -> str:
  """What is in the box counts. Behind the delimiter a letter in front, as of an
  option, is the answer; else the last capital that stands alone and does not
  begin a phrase, as 'A' and 'I' do; else the last that stands alone; or a small
  letter that is all."""
  if box := boxed(answer, BOX):
    answer, delimited = box, True
  answer = re.sub(r'\\[A-Za-z]+|_', ' ', unicodedata.normalize('NFKC', answer))
  answer = _REFUSED.sub(' ', answer)
  if label := _LABEL.match(answer) if delimited else None:
    return label[1].upper()
  found = re.findall(r"\b[A-J]\b(?! [a-z]|['’])", answer)
  found = found or re.findall(r'\b[A-J]\b', answer)
  alone = re.fullmatch(r'\W*([a-j])\W*', answer)
  return found[-1] if found else alone[1].upper() if alone else ''


def _latex(answer: str, delimited: bool) -> str:
  """Behind the delimiter a formula needs no box and no dollars; a bare fraction
  is read, and the commas of thousands are dropped."""
  answer = plain(answer)
  if 'boxed' in answer:
    return _latex_spelling(boxed(answer))
  if span := last_span(answer):
    return _latex_spelling(span)
  number = r'(?:(?<![\w)])-)?\d[\d,]*(?:\.\d+)?(?:/\d+)?|-?\.\d+'
  found = (re.findall(number, answer) or [''])[-1]
  whole = delimited and (not found or _FORMULA.search(answer))
  return _latex_spelling(answer if whole else found)


def _latex_spelling(answer: str) -> str:
  """Of all that `answer` holds: no dollars, and of a number no words."""
  bare = plain(unwrapped(answer)).replace('$', '').strip(' \n*').rstrip('.')
  bare = re.sub(r'\\text\{ *(?:or|and) *\}', ',', bare)  # no unit
  spelling = lower_spelled(without_words(bare))
  if re.fullmatch(r'-?\d{1,3}(,\d{3})+(\.\d+)?', spelling):
    spelling = spelling.replace(',', '')
  return spelling


def _valued(spelling: str) -> str:
  """0.50 and 1/2 are one number."""
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
