"""Tables as CSV and LaTeX, and with all names fit to print."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from ..report.tables import column_names
from .tables import is_unknown

_LATEX = {
  **{char: f'\\{char}' for char in '&%$#_{}'},
  **{'\\': r'\textbackslash{}', '~': r'\textasciitilde{}'},
  **{'^': r'\textasciicircum{}', '–': '--'},
  **{'<': r'\textless{}', '>': r'\textgreater{}', '"': "''"},
  **{'¦': r'\textbar{}', '\ufffd': '?'},  # of `printable`
}


def printable(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """The table with a dash for unknown cells, without columns that have no
  others, and with texts without control characters and column separators."""
  names = [
    name
    for name in column_names(table)
    if not all(is_unknown(row.get(name)) for row in table)
  ]
  return [
    {_text(name): _cell(row.get(name)) for name in names} for row in table
  ]


def csv_text(table: Sequence[dict[str, Any]]) -> str:
  """The table as CSV; unknown cells are empty."""
  text = io.StringIO()
  writer = csv.DictWriter(text, column_names(table), lineterminator='\n')
  writer.writeheader()
  for row in table:
    writer.writerow({k: '' if is_unknown(x) else x for k, x in row.items()})
  return text.getvalue()


def latex_table(table: Sequence[dict[str, Any]]) -> str:
  r"""The table as a LaTeX tabular for the package booktabs; numbers are aligned
  right and have four digits."""
  table = printable(table)
  names = column_names(table)
  number = lambda name: any(isinstance(row[name], float | int) for row in table)
  align = ''.join('r' if number(name) else 'l' for name in names)
  lines = [' & '.join(map(_latex, names)), *(
    ' & '.join(_latex(row[name]) for name in names) for row in table
  )]  # fmt: skip
  head, *body = (rf'{line} \\' for line in lines)
  return '\n'.join(
    [
      *(rf'\begin{{tabular}}{{{align}}}', r'\toprule', head, r'\midrule'),
      *(*body, r'\bottomrule', r'\end{tabular}', ''),
    ]
  )


def _cell(value):
  if is_unknown(value):
    return '–'
  return _text(value) if isinstance(value, str) else value


def _text(value):
  text = ''.join(x if x.isprintable() else '\ufffd' for x in str(value))
  return text.replace('|', '¦')


def _latex(value):
  text = f'{value:.4g}' if isinstance(value, float) else str(value)
  return re.sub(
    r'[&%$#_{}\\~^–<>"¦\ufffd]', lambda match: _LATEX[match[0]], text
  )
