r"""A worked solution as its steps: line ends, sentence ends, equations.

HyRea ("Hybrid Reasoning", ICLR 2026) splits at '\n' and '.' so that
"each equation is kept as an independent step". We also split at '?' and '!' and
where commas, semicolons or blanks stand between equations; not within LaTeX
(whose own full stop ends a step, as in `so $x=3.$ Then`), decimals,
abbreviations, initials or the '1.' that opens a line. '3+4=7=7' is one step.

Nothing is lost: joined, the steps are the text. A line end stays with the step
it ends; a blank before a word goes to the step that the word begins, as in the
usual BPE, so that step by step is tokenised as at once (GPT-2's rule parts the
two line ends before a blank line, which are one token here).
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

# In a copy of the text, of equal length, what is not to be split is blanked.
_FORMULA, _EQUAL, _STOP = '\ue000', '\ue001', '\ue002'

# An inline formula with dollars is told from two prices as Pandoc does it: the
# first touches what follows, the last what precedes, and no digit (nor GSM8K's
# `<<`) comes after. One that looks like a price ends in its line.
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
# In what lies between two equations, and two characters of the second. Where
# only a blank does, a word may belong to both: '1 - .3 = .7 bottles * 2 = 1.4'.
_BETWEEN = re.compile(
  r'\A\s*?(?= ?(?![^\W\d]{2})\S.\Z)|[,;](?!\d{3}(?!\d))\s*?(?= ?\S)'
)

_HASHES, _IS = re.compile(' ?####'), re.compile(' ?The answer is')


def split_steps(text: str) -> list[str]:
  """The steps of a text; joined they are the text."""
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

  A row's own 'steps' and 'ending' are taken as they are. Else the ending of
  'solution' is its last line from '####' on ('The answer is' may follow in one
  more), or from 'The answer is' on; without either, the step that holds the
  last \boxed{} and what follows it; without a box, the last step.
  """
  row = {name: value for name, value in row.items() if value is not None}
  if 'steps' in row and 'ending' in row:
    return list(row['steps']), row['ending']
  if 'solution' not in row:
    raise ValueError(
      f"a row with the fields {sorted(row)}: accepted is 'solution', or "
      "'steps' and 'ending'; say which field it is, data.fields=solution=NAME"
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
  """Where the line that states the answer begins to do so."""
  text = text.rstrip()
  before, _, line = text.rpartition('\n')
  first = len(text) - len(line)
  if line.startswith('The answer is'):
    above = before.rstrip('\n')
    start = above.rfind('\n') + 1
    if hashes := _HASHES.search(above, start):
      return hashes.start()
  found = [mark.search(text, first) for mark in (_HASHES, _IS)]
  return min((one.start() for one in found if one), default=None)


def _blanked(text: str) -> str:
  pieces, end = [], 0
  for start, stop in _formulas(text):
    pieces += [text[end:start], _blank(text[start:stop])]
    end = stop
  text = ''.join([*pieces, text[end:]])
  return _NO_END.sub(lambda m: re.sub('[.!]', '_', m[0]), text)


def _formulas(text: str) -> Iterator[tuple[int, int]]:
  """The spans of LaTeX. What never closes is looked for once, not from each
  place where it opens."""
  start, never = 0, set()
  while found := _OPENS.search(text, start):
    start = found.start() + 1  # where nothing begins here
    if found[0] == '$':
      span = _DOLLARS.match(text, found.start())
      stop = span.end() if span else -1
    else:
      close = rf'\end{{{found[1]}}}' if found[1] else _CLOSES[found[0]]
      stop = -1 if close in never else text.find(close, found.end() + 1)
      if stop < 0:
        never.add(close)
      else:
        stop += len(close)
    if stop > 0:
      yield found.start(), stop
      start = stop


def _blank(formula: str) -> str:
  fill = _EQUAL if '=' in _RANGE.sub('', formula) else _FORMULA
  last = _STOP if _ENDS_SENTENCE.search(formula) else fill
  return fill * (len(formula) - 1) + last


def _equations(blanked: str, start: int, end: int) -> Iterator[int]:
  """Where to cut between the equations of a sentence."""
  spans = []
  for found in _EQUATION.finditer(blanked, start, end):
    if found['sides'] == '':  # one side alone, which may be GSM8K's marks
      spans += [m.span() for m in _MARK.finditer(blanked, *found.span())]
    else:
      spans.append(found.span())
  for (_, last), (first, _) in pairwise(spans):
    if cut := _BETWEEN.search(blanked[last : first + 2]):
      yield last + cut.end()
