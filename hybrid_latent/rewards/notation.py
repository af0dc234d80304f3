r"""Normalises the notation of numbers.

Unicode's digits, signs, spaces, fractions and operators become those of ASCII
and LaTeX; currencies and spaces between thousands are removed; 1.5e-3 becomes a
power of ten.
"""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

_SEPARATORS = re.compile(r'(?<!\\)\\[,;:! ]|~|\{[.,]\}')
# Markdown's emphasis, but no product or power; HTML tags and special tokens.
_EMPHASIS = re.compile(
  r'(?<![\w)}\]*])(\*{1,3})(?=[^\s*])([^*\n]++)\1(?![\w*])'
)
_TAGS = re.compile(
  r'</[A-Za-z][\w-]*+>|<[A-Za-z][\w-]++/?>|<\|[\w-]++\|>', re.ASCII
)
_CURRENCY = re.compile(
  r'\\text\{ ?(?:\\\$|\$) ?\}|\\(?:\$|pounds|euro|textdollar)(?![A-Za-z])'
  '|[€£¥₹₽₩₪₺₫฿¢]'
  r'|(?<![A-Za-z])(?:USD|EUR|GBP|JPY|CNY|INR|CHF|Rs\.?)(?= ?[-\d])'
)
# Groups of three digits with one separator: 12 345 678, 12'345'678.
_GROUPS = re.compile(r"(?<![\w.,])\d{1,3}(?:[ _'’]\d{3})++(?!\d)", re.ASCII)
_REPEATING = re.compile(
  r'(?<![\d.,])(\d{0,9})\.(\d{0,9})\\(?:overline|bar) *\{ *(\d{1,9}) *\}',
  re.ASCII,
)
_NEGATIVE = re.compile(
  r'(?<![\d)] )\b(?:minus|negative) +(?=[$\d.\\])', re.IGNORECASE | re.ASCII
)
_OPERATORS = (
  (re.compile(r'(?<=[\w)}])\*\*(?=[\w({-])'), '^'),
  (re.compile(r'(?<=\d) *[xX] *(?=10 *\^)'), r'\\times '),
  (re.compile(r'(?<![A-Za-z\\])pi(?![A-Za-z])'), r'\\pi '),
  (re.compile(r'\\varnothing(?![A-Za-z])'), r'\\emptyset'),
)
_SCIENTIFIC = re.compile(
  r'(?<![\w.])(\d++(?:\.\d*+)?|\.\d++)[eE]([-+]?\d{1,3})(?![\w.]\w|\w)',
  re.ASCII,
)
_MIXED = re.compile(
  r'(?<![\w.,/^])(\d{1,9}) +(\d{1,9}) ?/ ?(\d{1,9})(?![\w/])', re.ASCII
)
_POWERS = re.compile('[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+')
# "It is 14 square cm.", "5 m/s": no LaTeX commands, which may be numbers, and
# neither single letters nor groups of them that may be variables.
VARIABLES = r'(?:[a-d]{2,3}|mn|[p-s]{2,3}|rst|[u-z]{2,3})(?![A-Za-z])'
_UNIT = r'(?:[kcm]?m|[km]?g|[hs]|ft|in|mi|yd|[kM]?[JW]|mol|min|hr|sec)'
_WORDS = re.compile(
  r"(?:[A-Za-z]{2}[A-Za-z':,]*+(?: +[A-Za-z':,]++)*+ +)?"
  r'([-+]?(?:\d[\d,]*+(?:\.\d*+)?|\.\d++)(?:/\d++)?)'
  rf'(?: *{_UNIT} *(?:\^ *\{{?[23]\}}?|/ *{_UNIT}(?: *\^ *\{{?[23]\}}?)?)'
  rf'| *(?!{VARIABLES})[A-Za-z]{{2}}[A-Za-z. ]*(?:\^ *\{{?[23]\}}?)?)?',
  re.ASCII,
)
_VALUE = r'-?[\d.,]++'
_RATIO = re.compile(
  rf'(?:\{{ *|(?<![\d.,-]))({_VALUE}) *\\over(?![a-z]) *({_VALUE})(?: *\}})?'
  rf'|\( *({_VALUE}) *\) */ *\( *({_VALUE}) *\)'
  r'|(?<![\w.,])([\d.,]++) */ *(-[\d.,]++)',
  re.ASCII,
)
_PART = rf'(?:\{{ *({_VALUE}) *\}}|(\d))'
_FRACTION = re.compile(
  rf'(\d *)?(- *)?\\[dtc]?frac *{_PART} *{_PART}', re.ASCII
)
_ENCLOSED = re.compile(
  r'- *(?:\\(?:text|math|boxed)[a-z]* *)?[({] *(\d[\d.,]*+) *[)}]', re.ASCII
)
_DIGITS = r'(?:\d++(?:[.,_]\d++)*+|\.\d++(?:[.,_]\d++)*+)'
# The exponent of a unit and the number in a name, m^2 and A4, do not match.
_NUMBER = re.compile(
  r'(?<![A-Za-z\d])(?<!\d[./])(?<!\^)(?<![\^_]\{)'
  r'(?P<sign>(?:(?<![\w)}\]])-|(?:\A|(?<=[=:(])) *- *)?)'
  rf'(?:(?P<whole>\d{{1,9}}) +(?={_DIGITS} ?/))?'
  rf'(?P<above>{_DIGITS})(?: ?/ ?(?P<below>{_DIGITS}))?'
  r'(?: *(?:\\times|\\cdot|\*|x) *10 *\^ *\{?(?P<ten>[-+]?\d++)\}?)?'
  r'(?: *\^ *\{?(?P<power>[-+]?\d++)(?![.,]\d|/)\}?)?',
  re.ASCII,
)
# A number next to these is a part of an expression that is not parsed.
_FUNCTION = r'\\?(?:sqrt|log|ln|lg|exp|sin|cos|tan|cot|sec|csc|binom)'
_PART_BEFORE = re.compile(
  rf'(?:{_FUNCTION}(?:_\{{?\w*\}}?|\[\w*\])?|\\pm) *[({{]* *\Z'
)
_PART_AFTER = re.compile(
  rf' *(?:{_FUNCTION}|\\pi)(?![a-z])| *\^ *[({{]? *(?:[-+]?[\d.]|[a-z]\b)'
  r'|[ijknxyz](?![A-Za-z])'
)
_GROUPED = re.compile(
  r'(?:\d{1,3}(?:,\d{3})++|\d{1,2}(?:,\d{2})+,\d{3}|\d*+)(?:\.\d+)?', re.ASCII
)
_MOST_DIGITS = 1000


def plain(text: str) -> str:
  r"""'－５ ½' is '-5\frac{1}{2}', '1 000' and '1\,000' are '1000', '1e3' is
  '1\times 10^{3}', '€5' is '5', 'x²' is 'x^{2}'."""
  text = _POWERS.sub(_power, text).translate(_CHARACTERS)
  text = _EMPHASIS.sub(r'\2', _TAGS.sub(' ', text).replace('`', ''))
  text = _SEPARATORS.sub(_separator, _CURRENCY.sub('', text))
  text = _NEGATIVE.sub('-', _REPEATING.sub(_repeating, text))
  for mark, operator in _OPERATORS:
    text = mark.sub(operator, text)
  text = _GROUPS.sub(lambda m: re.sub("[ _'’]", '', m[0]), text)
  text = _SCIENTIFIC.sub(r'\1\\times 10^{\2}', text)
  return _MIXED.sub(r'\1\\frac{\2}{\3}', text)


def without_words(text: str) -> str:
  """'It is 14 apples' is '14'; other text than one number and words is
  unchanged."""
  match = _WORDS.fullmatch(text)
  return match[1] if match else text


def last_number(text: str) -> Fraction | None:
  r"""The value of the last number, or None where there is none or where it
  cannot be parsed.

  A comma separates thousands, a dot decimals: 1.000 is 1, and 1.000,5 or 1,00
  cannot be parsed; nor can a part of a formula, as in \sqrt{2} and 2x. 3 1/2,
  3½ and 3\frac{1}{2} are one number; 50% is 50; 1e3, 2*10^3 and 2^10 are
  values. A minus sign is part of the number unless it follows another, as in
  9-5. More than 1,000 digits cannot be parsed.
  """
  text = _prepared(text)
  numbers = [*_NUMBER.finditer(text)]
  if not numbers or _PART_AFTER.match(text, numbers[-1].end()):
    return None
  start = numbers[-1].start()
  if _PART_BEFORE.search(text[max(start - 40, 0) : start]):
    return None
  return _value(numbers[-1])


def whole_number(text: str) -> Fraction | None:
  r"""The value of a text that is a single number, else None."""
  match = _NUMBER.fullmatch(_prepared(text).strip())
  return _value(match) if match else None


def _prepared(text: str) -> str:
  text = re.sub(r'\\div *', '/', plain(text))
  text = re.sub(r'- ?\$ ?', '-', text).replace('$', ' ')
  text = _FRACTION.sub(_fraction, _RATIO.sub(_ratio, text))
  return re.sub(r'\^ *\( *(-?\d++) *\)', r'^{\1}', _ENCLOSED.sub(r'-\1', text))


def _value(found: re.Match) -> Fraction | None:
  parts = {name: found[name] or '' for name in ('whole', 'above', 'below')}
  exponents = [found['ten'] or '0', found['power'] or '1']
  if any(not _GROUPED.fullmatch(part) for part in parts.values()):
    return None
  whole, above, below = (part.replace(',', '') for part in parts.values())
  if len(above + below) > _MOST_DIGITS or max(map(len, exponents)) > 5:
    return None
  ten, power = map(int, exponents)
  # Checked before the power, whose digits would be that many.
  if len(above + below) * max(abs(ten), abs(power)) > _MOST_DIGITS:
    return None
  try:
    value = Fraction(whole or 0) + Fraction(above) / Fraction(below or 1)
    value = value**power * Fraction(10) ** ten
  except ZeroDivisionError:
    return None
  return -value if '-' in found['sign'] else value


def _ratio(found: re.Match) -> str:
  above, below = [part for part in found.groups() if part]
  return rf'\frac{{{above}}}{{{below}}}'


def _fraction(found: re.Match) -> str:
  r"""3\frac{1}{2} as 3 1/2, with the signs of both parts moved to the front."""
  before, minus, *parts = found.groups()
  above, below = [part for part in parts if part]
  negative = (above[0] == '-') != (below[0] == '-')
  if minus:
    sign = '+' if negative else '-'
  else:
    sign = ' -' if negative else ' '
  return f'{before or ""}{sign}{above.strip("-")}/{below.strip("-")} '


def _power(found: re.Match) -> str:
  return f'^{{{unicodedata.normalize("NFKC", found[0])}}}'


def _repeating(found: re.Match) -> str:
  """0.1\\overline{6} is (16 - 1) / 90."""
  whole, once, again = found.groups()
  above = int(whole + once + again) - int(whole + once or '0')
  value = Fraction(above, (10 ** len(again) - 1) * 10 ** len(once))
  return rf'\frac{{{value.numerator}}}{{{value.denominator}}}'


def _separator(found: re.Match) -> str:
  return {r'\!': '', '{,}': ',', '{.}': '.'}.get(found[0], ' ')


def _characters() -> Iterator[tuple[str, str]]:
  yield from ((chr(code), chr(code - 0xFEE0)) for code in range(0xFF01, 0xFF5F))
  yield from ((sign, '-') for sign in '−‐‑‒–—﹣')
  yield from ((blank, ' ') for blank in '\xa0\u2000\u2001\u2002\u2003\u2004')
  yield from ((blank, ' ') for blank in '\u2005\u2006\u2007\u2008\u2009\u200a')
  yield from ((blank, ' ') for blank in '\u202f\u205f\u3000')
  yield from ((nothing, '') for nothing in '\u200b\u200c\u200d\u2060\ufeff')
  yield from (
    (mark, '') for mark in '\u200e\u200f\u202a\u202b\u202c\u202d\u202e'
  )
  for fraction in '½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒':
    above, below = unicodedata.normalize('NFKC', fraction).split('⁄')
    yield fraction, rf'\frac{{{above}}}{{{below}}}'
  for first, end in ((0x0660, 0xABFA), (0x104A0, 0x1E960), (0x1FBF0, 0x1FBFA)):
    for code in range(first, end):
      if (digit := unicodedata.decimal(chr(code), None)) is not None:
        yield chr(code), str(digit)
  yield from ((chr(0x245F + n), str(n)) for n in range(1, 21))  # in circles
  yield from (('٫', '.'), ('٬', ','), ('∅', r'\emptyset '))
  yield from _COMMANDS.items()


_COMMANDS = {
  '×': r'\times ',
  '÷': r'\div ',
  '·': r'\cdot ',
  '⋅': r'\cdot ',
  '√': r'\sqrt ',
  'π': r'\pi ',
  '∞': r'\infty ',
  '±': r'\pm ',
  '≤': r'\le ',
  '≥': r'\ge ',
  '≠': r'\ne ',
  '∈': r'\in ',
  '∪': r'\cup ',
  '∩': r'\cap ',
  '°': r'^\circ ',
  '⁄': '/',
  '∕': '/',
}
_CHARACTERS = {ord(one): other for one, other in _characters()}
