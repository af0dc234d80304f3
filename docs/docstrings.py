"""Docstrings as the API reference renders them.

mkdocstrings loads this extension. The fields of a record are listed in its
docstring, with the comments on their lines or above them; an indented block is
literal.
"""

import ast
import io
import re
import tokenize
from textwrap import indent

import griffe

_BLOCK = r'(?m:^)  \S.*(?:\n  .*)*'


class Docstrings(griffe.Extension):
  """Fields as `Attributes:`, indented blocks as Markdown's."""

  def on_module_instance(self, *, mod, **kwargs):
    """A module's docstring has no sections: all that is indented is literal."""
    _literal(mod, _BLOCK)

  def on_function_instance(self, *, func, **kwargs):
    """So is, in a function's, what follows an empty line."""
    _literal(func, rf'(?<=\n\n){_BLOCK}')

  def on_class_members(self, *, node, cls, **kwargs):
    """Lists the annotated fields and their comments."""
    lines = cls.lines_collection[cls.filepath]
    fields = [
      f'  {field.target.id}: {_comment(lines, field)}'
      for field in getattr(node, 'body', ())
      if isinstance(field, ast.AnnAssign) and field.target.id[0] != '_'
    ]
    if fields and cls.docstring:
      cls.docstring.value += '\n\nAttributes:\n' + '\n'.join(fields)


def _literal(documented: griffe.Object, block: str) -> None:
  """Indents by four what our docstrings indent by two, as a paragraph."""
  if documented.docstring:
    documented.docstring.value = re.sub(
      block,
      lambda found: f'\n{indent(found[0], "  ")}\n',
      documented.docstring.value,
    )


def _comment(lines: list[str], field: ast.AnnAssign) -> str:
  """The comments above a field and on its lines. One that ends in ; or , goes
  on below."""
  first, last = field.lineno - 1, field.end_lineno
  while _is_comment(lines[first - 1]):
    first -= 1
  if _goes_on(lines[first - 1]):
    first = field.lineno - 1
  while _goes_on(lines[last - 1]) and _is_comment(lines[last]):
    last += 1
  source = '\n'.join(line.strip() for line in lines[first:last])
  text = ' '.join(
    token.string.lstrip('# ')
    for token in tokenize.generate_tokens(io.StringIO(source).readline)
    if token.type == tokenize.COMMENT
  )
  return re.sub(r'^[>*+-]', r'\\\g<0>', text)  # no quote, no list


def _is_comment(line: str) -> bool:
  return line.lstrip().startswith('#')


def _goes_on(line: str) -> bool:
  return '#' in line and line.endswith((';', ','))
