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
_LATEX = re.compile(
  r'(?<!\\)\\\[.+?\\\]'
  r'|\\\(.+?\\\)'
  r'|\\begin\{(\w+\*?)\}.+?\\end\{\1\}'
  r'|\[asy\].+?\[/asy\]'
  r'|(?<!\\)\$\$.+?\$\$'
  r'|(?<!\\)\$(?![\s$])(?:\\.|[^\\$\n])*?(?<!\s)\$(?!\d|<<)'
  r'|(?<!\\)\$(?![\s$<]|\d[^\\^$]*\$)'
  r'(?:\\.|[^\\$\n]|\n(?!\s*\n))+?(?<!\s)\$(?!\d|<<)',
  re.DOTALL,
)
_RANGE = re.compile(r'[_^]\{[^{}]*\}')  # k=1 in \sum_{k=1} is no equation
_ENDS_SENTENCE = re.compile(
  r'(?<!\.)[.?]\s*(?:\$\$?|\\\]|\\\)|\\end\{\w+\*?\})\Z'
)
_NO_END = re.compile(
  r'^[\s(*#>-]*(?:(?:Step|Case|Part)\ )?(?:\d+|[A-Za-z]|[ivxIVX]+)\.'
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
  rf"""(?:[.?!]+["'”’)\]*]*(?=\s)|{_STOP}|\n|[^\s#](?=\s*\#{{4}}))"""
  r'\s*?(?= ?\S)'
)

_UNIT = (
  r'(?:<<[^<>\n]*+>>|\d+(?:,\d{3}(?!\d))*+(?:\.\d+)?|\.\d+|[^\W\d]+'
  r"|[$£€][ \t]?|[()\[\]{}%°'])"
)
_ATOM = rf'[-+−]?{_UNIT}++'
_SIDE = rf'{_ATOM}(?:[ \t]*+(?:[-+*/×÷·^−:]++|x(?=[ \t\d]))[ \t]*+{_ATOM})*+'
_EQUATION = re.compile(
  rf'(?<![\w.]){_SIDE}(?:[ \t]*+[=≈]++[ \t]*+{_SIDE})+'
  rf'|<<[^<>\n]*=[^<>\n]*>>|{_EQUAL}+{_STOP}?'
)
# In what lies between two equations, and two characters of the second. Where
# only a blank does, a word may belong to both: '1 - .3 = .7 bottles * 2 = 1.4'.
_BETWEEN = re.compile(
  r'\A\s*?(?= ?(?![^\W\d]{2})\S.\Z)|[,;](?!\d{3}(?!\d))\s*?(?= ?\S)'
)

_ENDING = re.compile(
  r' ?####[^\n]*(?:\n+The answer is[^\n]*)?\s*\Z| ?The answer is[^\n]*\s*\Z'
)


def split_steps(text: str) -> list[str]:
  """The steps of a text; joined they are the text."""
  blanked = _blanked(text)
  first = len(text) - len(text.lstrip())
  cuts = [0, *(m.end() for m in _BREAK.finditer(blanked, first)), len(text)]
  sentences = list(pairwise(cuts))
  between = (cut for span in sentences for cut in _equations(blanked, *span))
  cuts = sorted({*cuts, *between})
  return [text[start:end] for start, end in pairwise(cuts)]


def worked(row: Mapping[str, Any]) -> tuple[list[str], str]:
  r"""The steps of a row's solution, and the ending that states the answer.

  A row's own 'steps' and 'ending' are taken as they are. Else the ending of
  'solution' is its last line from '####' on ('The answer is' may follow in one
  more), or from 'The answer is' on; without either, the step that holds the
  last \boxed{} and what follows it; without a box, the last step.
  """
  if 'steps' in row and 'ending' in row:
    return list(row['steps']), row['ending']
  if 'solution' not in row:
    raise ValueError(
      f"a row with the fields {sorted(row)}: accepted is 'solution', or "
      "'steps' and 'ending'; say which field it is, data.fields=solution=NAME"
    )
  text = row['solution']
  if found := _ENDING.search(text):
    steps = split_steps(text[: found.start()])
  else:
    pieces = split_steps(text)
    boxes = [i for i, piece in enumerate(pieces) if r'\boxed' in piece]
    steps = pieces[: boxes[-1] if boxes else -1]
  if not ''.join(steps).strip():
    return [], text
  return steps, text[len(''.join(steps)) :]


def _blanked(text: str) -> str:
  text = _LATEX.sub(_blank, text)
  return _NO_END.sub(lambda m: re.sub('[.!]', '_', m[0]), text)


def _blank(formula: re.Match) -> str:
  fill = _EQUAL if '=' in _RANGE.sub('', formula[0]) else _FORMULA
  last = _STOP if _ENDS_SENTENCE.search(formula[0]) else fill
  return fill * (len(formula[0]) - 1) + last


def _equations(blanked: str, start: int, end: int) -> Iterator[int]:
  """Where to cut between the equations of a sentence."""
  spans = [m.span() for m in _EQUATION.finditer(blanked, start, end)]
  for (_, last), (first, _) in pairwise(spans):
    if cut := _BETWEEN.search(blanked[last : first + 2]):
      yield last + cut.end()
