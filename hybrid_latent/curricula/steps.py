r"""Splits a solution into steps at line ends, sentence ends and equations.

HyRea ("Hybrid Reasoning", ICLR 2026) splits at '\n' and '.' so that
"each equation is kept as an independent step". Here '?' and '!' also split, and
so do commas, semicolons or spaces between equations; no split is within LaTeX
(whose full stop ends a step, as in `so $x=3.$ Then`), decimals, abbreviations,
initials or the '1.' at the start of a line. '3+4=7=7' is one step.

The concatenated steps are the text. A line end belongs to the step that it
ends, a space before a word to the step of the word, as in the usual BPE: the
tokens of the steps are those of the text (except that GPT-2's rule splits the
two line ends before a blank line, which are one token here).
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

# Placeholders, in a copy of the text of equal length, for what is not split.
_FORMULA, _EQUAL, _STOP = '\ue000', '\ue001', '\ue002'

# Pandoc's rule separates an inline formula from two prices: no space after the
# first dollar or before the last, and no digit (nor GSM8K's `<<`) behind it. A
# formula that looks like a price ends in its line.
_DOLLARS = re.compile(
  r'(?<!\\)\$\$.+?\$\$'
  r'|(?<!\\)\$(?![\s$])(?:\\.|[^\\$\n])*?(?<!\s)\$(?!\d|<<)'
  r'|(?<!\\)\$(?![\s$<]|\d[^\\^$]*\$)'
  r'(?:\\.|[^\\$\n]|\n(?!\s*\n))+?(?<!\s)\$(?!\d|<<)',
  re.DOTALL,
)
_OPENS = re.compile(r'(?<!\\)\\\[|\\\(|\\begin\{(\w+\*?)\}|\[asy\]|(?<!\\)\$')
_CLOSES = {r'\[': r'\]', r'\(': r'\)', '[asy]': '[/asy]'}
_RANGE = re.compile(r'[_^]\{[^{}]*\}')  # k=1 in \sum_{k=1} is no equation
_ENDS_SENTENCE = re.compile(
  r'(?<!\.)[.?]\s*(?:\$\$?|\\\]|\\\)|\\end\{\w+\*?\})\Z'
)
_NO_END = re.compile(
  r'^(?:[^\S\n]|[(*#>-])*+(?:(?:Step|Case|Part)\ )?(?:\d+|[A-Za-z]|[ivxIVX]+)\.'
  r'|\b(?:[A-Za-z]\.){2,}'  # i.e., a.m., U.S.
  r'|\b[A-Z]\.(?=\s)'  # an initial
  r'|\b(?:Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|vs|approx|cf|etc|resp|viz|Eq|Fig|al)\.'
  r'|\bNo\.(?=\s*\d)'
  r'|\b(?:cu|ft|hrs?|lbs?|mi|min|oz|sq|yd)\.(?=\s+[a-z])'
  r'|\.(?=\s+[-+*/×÷=<>]\s)'  # 2 * 3 sq.ft. = 6
  r'|\.{2,}(?!\s+[A-Z])'
  r'|(?:(?<=[\d)])|(?<=\b[A-Za-z]))!+',  # a factorial
  re.MULTILINE,
)
_BREAK = re.compile(
  rf"""(?:(?<![.?!])[.?!]++["'”’)\]*]*+(?=\s)|{_STOP}|\n|[^\s#](?=\s*\#{{4}}))"""
  r'\s*?(?= ?\S)'
)

_UNIT = (
  r'(?:<<[^<>\n]*+>>|\d+(?:,\d{3}(?!\d))*+(?:\.\d+)?|\.\d+|[^\W\d]+'
  r"|[$£€][ \t]?|[()\[\]{}%°'])"
)
_ATOM = rf'[-+−]?{_UNIT}++'
_SIDE = rf'{_ATOM}(?:[ \t]*+(?:[-+*/×÷·^−:]++|x(?=[ \t\d]))[ \t]*+{_ATOM})*+'
_EQUATION = re.compile(
  rf'(?<![\w.]){_SIDE}(?P<sides>(?:[ \t]*+[=≈]++[ \t]*+{_SIDE})*+)'
  rf'|{_EQUAL}+{_STOP}?'
)
_MARK = re.compile(r'<<[^<>=\n]*+=[^<>\n]*+>>')
# Matches the text between two equations plus two characters of the second. If
# it is only a space, no split before a word, which may belong to both:
# '1 - .3 = .7 bottles * 2 = 1.4'.
_BETWEEN = re.compile(
  r'\A\s*?(?= ?(?![^\W\d]{2})\S.\Z)|[,;](?!\d{3}(?!\d))\s*?(?= ?\S)'
)

_HASHES, _IS = re.compile(' ?####'), re.compile(' ?The answer is')


def split_steps(text: str) -> list[str]:
  """The steps of a text, whose concatenation is the text."""
  blanked = _blanked(text)
  first = len(text) - len(text.lstrip())
  last = len(text.rstrip())
  breaks = (m.end() for m in _BREAK.finditer(blanked, first, last))
  cuts = [0, *breaks, len(text)]
  sentences = list(pairwise(cuts))
  between = (cut for span in sentences for cut in _equations(blanked, *span))
  cuts = sorted({*cuts, *between})
  return [text[start:end] for start, end in pairwise(cuts)]


def split_solution(row: Mapping[str, Any]) -> tuple[list[str], str]:
  r"""The steps of a row's solution, and the ending that states the answer.

  The row's 'steps' and 'ending', if it has both. Else the ending of 'solution'
  is its last line from '####' on ('The answer is' may follow in one more line),
  or from 'The answer is' on; without either, the step with the last \boxed{}
  and all after it; without a box, the last step.
  """
  row = {name: value for name, value in row.items() if value is not None}
  if 'steps' in row and 'ending' in row:
    return list(row['steps']), row['ending']
  if 'solution' not in row:
    raise ValueError(
      f"a row with the fields {sorted(row)}: accepted is 'solution', or "
      "'steps' and 'ending': write data.fields=solution=NAME"
    )
  text = row['solution']
  if (start := _ending(text)) is not None:
    steps = split_steps(text[:start])
  else:
    pieces = split_steps(text)
    boxes = [i for i, piece in enumerate(pieces) if r'\boxed' in piece]
    steps = pieces[: boxes[-1] if boxes else -1]
  if not ''.join(steps).strip():
    return [], text
  return steps, text[len(''.join(steps)) :]


def _ending(text: str) -> int | None:
  """Where the ending begins in the last line (or the last two)."""
  text = text.rstrip()
  before, _, line = text.rpartition('\n')
  first = len(text) - len(line)
  if line.startswith('The answer is'):
    above = before.rstrip('\n')
    start = above.rfind('\n') + 1
    if hashes := _HASHES.search(above, start):
      return hashes.start()
  matches = [mark.search(text, first) for mark in (_HASHES, _IS)]
  return min((match.start() for match in matches if match), default=None)


def _blanked(text: str) -> str:
  """The text with formulas and full stops that end nothing replaced, at equal
  length: positions in it are positions in the text."""
  pieces, end = [], 0
  for start, stop in _formulas(text):
    pieces += [text[end:start], _blank(text[start:stop])]
    end = stop
  text = ''.join([*pieces, text[end:]])
  return _NO_END.sub(lambda m: re.sub('[.!]', '_', m[0]), text)


def _formulas(text: str) -> Iterator[tuple[int, int]]:
  """The spans of LaTeX."""
  # A missing closing delimiter is searched once, not from every opening one:
  # the time stays linear in the length of the text.
  start, unclosed = 0, set()
  while opening := _OPENS.search(text, start):
    start = opening.start() + 1  # if no span begins here
    if opening[0] == '$':
      span = _DOLLARS.match(text, opening.start())
      stop = span.end() if span else -1
    else:
      close = rf'\end{{{opening[1]}}}' if opening[1] else _CLOSES[opening[0]]
      stop = -1 if close in unclosed else text.find(close, opening.end() + 1)
      if stop < 0:
        unclosed.add(close)
      else:
        stop += len(close)
    if stop > 0:
      yield opening.start(), stop
      start = stop


def _blank(formula: str) -> str:
  """Placeholders for a formula, which keep whether it is an equation and
  whether it ends a sentence."""
  fill = _EQUAL if '=' in _RANGE.sub('', formula) else _FORMULA
  last = _STOP if _ENDS_SENTENCE.search(formula) else fill
  return fill * (len(formula) - 1) + last


def _equations(blanked: str, start: int, end: int) -> Iterator[int]:
  """Where to cut between the equations of a sentence."""
  spans = []
  for match in _EQUATION.finditer(blanked, start, end):
    if match['sides'] == '':  # no '=' outside; GSM8K's marks have one inside
      spans += [m.span() for m in _MARK.finditer(blanked, *match.span())]
    else:
      spans.append(match.span())
  for (_, last), (first, _) in pairwise(spans):
    if cut := _BETWEEN.search(blanked[last : first + 2]):
      yield last + cut.end()
