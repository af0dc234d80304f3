r"""LaTeX answers as strings: the last \boxed{}, the last span, normalisation.

The normalisation is that of the MATH benchmark's graders (Hendrycks et al.,
arXiv 2103.03874), which compare strings.
"""

import re

_OPENS = re.compile(r'\\\[|\\\(|\$\$?')
_CLOSES = {r'\[': r'\]', r'\(': r'\)', '$$': '$$', '$': '$'}
_BRACE = re.compile('[{}]')
_BOXES = re.compile(r'\\(?:boxed|fbox)\s*+\{')
_WRAPPER = re.compile(
  r'\\(?:text|textbf|textit|textrm|mbox|emph|mathrm|mathbf|mathit|boldsymbol'
  r'|bm|boxed) *(?=\{)|\\[(\[]|\$\$?'
)
_BEFORE = re.compile(r'(?:\s|=|\\quad\b|\\displaystyle\b)*+')
_MOST_WRAPPERS = 8
_SPELLINGS = (
  ('\n', ''),
  (r'\!', ''),
  (r'\\', '\\'),
  ('tfrac', 'frac'),
  ('dfrac', 'frac'),
  (r'\left', ''),
  (r'\right', ''),
  (r'^{\circ}', ''),
  (r'^\circ', ''),
)


def boxed(text: str, mark: str = 'boxed') -> str:
  r"""The content of the last \boxed{}; if it never closes, all that follows;
  for `\boxed 5$` without a brace, up to the dollar. '' without a box.

  `mark` is the beginning of a box; MATH's graders do not require the backslash.
  """
  _, found, rest = text.rpartition(mark)
  if not found:
    return ''
  if not rest.startswith('{'):
    return rest.split('$')[0].strip()
  end = _closing(rest)
  return rest[1:end] if end else rest[1:]


def same_boxes(text: str) -> str:
  r"""Replaces \fbox{5} and \boxed {5} by \boxed{5}."""
  return _BOXES.sub(r'\\boxed{', text)


def unwrapped(latex: str) -> str:
  r"""'5' for '\text{5}', '\[5\]', '$5$' and '= 5 \\': removes up to eight
  wrappers around the whole."""
  for _ in range(_MOST_WRAPPERS):
    latex = latex.rstrip().removesuffix('\\\\').removesuffix(r'\quad').rstrip()
    before, latex = latex, _BEFORE.sub('', latex, count=1)
    if wrapper := _WRAPPER.match(latex):
      rest, close = latex[wrapper.end() :], _CLOSES.get(wrapper[0], '}')
      end = _closing(rest) if close == '}' else rest.find(close)
      if end > 0 and end + len(close) == len(rest):
        latex = rest[close == '}' : end]
    if latex == before:
      break
  return latex


def _closing(text: str) -> int:
  """The index where the text's first brace closes, 0 where it does not."""
  depth = 0
  for brace in _BRACE.finditer(text):
    depth += 1 if brace.group() == '{' else -1
    if depth == 0:
      return brace.start()
  return 0


def last_span(text: str) -> str:
  r"""The content of the last `\[..\]`, `\(..\)`, `$..$` or `$$..$$`, or ''."""
  last, start, unclosed = '', 0, set()
  while opening := _OPENS.search(text, start):
    start = opening.start() + 1  # if no span begins here
    # '$$' without a partner may be an empty '$..$'.
    marks = [opening[0], '$'] if opening[0] == '$$' else [opening[0]]
    for mark in marks:
      first = opening.start() + len(mark)
      end = text.find(_CLOSES[mark], first + 1) if mark not in unclosed else -1
      if end < 0:
        unclosed.add(mark)  # nor from any later position: linear time
        continue
      last, start = text[first:end], end + len(mark)
      break
  return last.strip()


def spelled(text: str) -> str:
  r"""MATH's normalisation: no spaces, \left, degrees, units or `x=`; \frac12,
  \tfrac{1}{2} and 1/2 become \frac{1}{2}; \sqrt3 becomes \sqrt{3}."""
  for old, new in _SPELLINGS:
    text = text.replace(old, new)
  text = text.strip('$').replace(r'\$', '')
  text = text.split(r'\text{ ')[0]  # a unit
  text = text.replace(r'\%', '').replace(' .', ' 0.').replace('{.', '{0.')
  if text.startswith('.'):
    text = '0' + text
  name, *value = text.split('=')
  if len(value) == 1 and len(name) <= 2:
    text = value[0]
  text = re.sub(r'\\sqrt(?!\\sqrt)([^{])', r'\\sqrt{\1}', text)
  return _slash(_fractions(text.replace(' ', '')))


def lower_spelled(latex: str) -> str:
  """`spelled` in lower case and without \\text{}."""
  spelling = spelled(latex).rstrip('.').rstrip('/')
  # Only up to the last brace: an unclosed \text{ would cost quadratic time.
  closed, brace, rest = spelling.rpartition('}')
  bare = re.sub(r'\\text\{([^}]*)\}', r'\1', closed + brace)
  return (bare + rest).lower()


def _fractions(text: str) -> str:
  """Braces around one-character numerators and denominators."""
  # From MATH's grader: an error in one fraction leaves all unchanged.
  head, *tails = text.split(r'\frac')
  if any(len(tail) == 1 and tail != '{' for tail in tails):
    return text  # a fraction without a denominator
  return r'\frac'.join([head, *map(_braced, tails)])


def _braced(tail: str) -> str:
  if not tail or tail[0] == '{':
    return tail
  above, below = tail[0], tail[1:]
  if below[0] != '{':
    below = f'{{{below[0]}}}{below[1:]}'
  return f'{{{above}}}{below}'


def _slash(text: str) -> str:
  r"""3/4 as \frac{3}{4}, where both are integers."""
  both = re.fullmatch(r'(-?[1-9][0-9]*|0)/(-?[1-9][0-9]*|0)', text)
  return rf'\frac{{{both[1]}}}{{{both[2]}}}' if both else text
