"""The table of fields as text, for `--help` and docs/config.md."""

import ast
import re
import textwrap

from .accepted import described
from .named import Config
from .overrides import CONFIGS, leaves
from .table import FIELDS, field_of

_WIDTH = 80
_INTRODUCTION = """# Fields of the configs

Made by `python -m experiments.fields`. `--help` of a command lists the fields
of a config with their values. `*` stands for a name that a config chooses.
"""


def configs_text() -> str:
  """One line per config of experiments/configs, with its first sentence."""
  lines = [
    textwrap.fill(
      f'{path.stem:22} {_first_sentence(path.read_text("utf-8"))}',
      _WIDTH,
      initial_indent='  ',
      subsequent_indent=' ' * 25,
    )
    for path in sorted(CONFIGS.glob('[a-z]*.py'))
  ]
  return '\n'.join(['configs:', *lines])


def fields_text(path: str, config: Config) -> str:
  """Every field of a config, with its value and its sentence."""
  lines = [f'fields of {path}, with their values:']
  for name, value in leaves(config):
    lines.append(f'  --config.{name}={_shown(value)}')
    if entry := field_of(name):
      lines.append(
        textwrap.fill(
          f'{entry.about} Accepts {described(entry.annotation)}.',
          _WIDTH,
          initial_indent=' ' * 6,
          subsequent_indent=' ' * 6,
        )
      )
  return '\n'.join(lines)


def markdown() -> str:
  """All fields of all configs as a table."""
  rows = [('field', 'accepts', 'meaning'), ('---',) * 3]
  for name, (annotation, about) in FIELDS.items():
    rows.append((f'`{name}`', described(annotation), about))
  lines = [f'| {" | ".join(row)} |' for row in rows]
  return '\n'.join([_INTRODUCTION, *lines, ''])


def _first_sentence(source: str) -> str:
  paragraph, *_ = (ast.get_docstring(ast.parse(source)) or '').split('\n\n')
  return re.split(r'(?<=\.) (?=[A-Z])', ' '.join(paragraph.split()))[0]


def _shown(value: object) -> str:
  text = value if isinstance(value, str) else repr(value)
  return (
    repr(text) if text == '' or text != text.strip() or '\n' in text else text
  )
