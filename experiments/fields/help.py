"""The table of fields as text, for `--help` and docs/config.md."""

import ast
import re
import textwrap
from contextlib import suppress

from .accepted import described
from .functions import argument_text
from .named import Config
from .overrides import CONFIGS, function_at, leaves
from .table import FIELDS, field_of, function_of

_WIDTH = 80
_TRAINERS = {'rl': 'grpo', 'sft': 'sft', 'lrt': 'lrt'}  # by their defaults
_INTRODUCTION = """# Fields of the configs

Made by `python -m experiments.fields`. `--help` of a command lists the fields
of a config with their values. `*` stands for a name that a config chooses.
"""


def configs_text(command: str) -> str:
  """One line per config of experiments/configs, with its first sentence: those
  of the trainer `command`, or of each trainer for another command."""
  trainers = [command] if command in _TRAINERS.values() else _TRAINERS.values()
  return '\n\n'.join(map(_configs_of, trainers))


def _configs_of(trainer: str) -> str:
  lines = [
    textwrap.fill(
      f'{path.stem:22} {_first_sentence(path.read_text("utf-8"))}',
      _WIDTH,
      initial_indent='  ',
      subsequent_indent=' ' * 25,
    )
    for path in sorted(CONFIGS.glob('[a-z]*.py'))
    if trainer_of(path.stem) == trainer
  ]
  return '\n'.join([f'configs of {trainer}:', *lines])


def trainer_of(name: str) -> str:
  """The trainer of a config of experiments/configs, by the defaults that it or
  the configs that it imports begin with. Does not execute it."""
  if name in _TRAINERS:
    return _TRAINERS[name]
  tree = ast.parse((CONFIGS / f'{name}.py').read_text('utf-8'))
  imports = [
    x for x in tree.body if isinstance(x, ast.ImportFrom) and x.level == 1
  ]
  names = [x.module or alias.name for x in imports for alias in x.names]
  names = [x for x in names if _calls(tree, x, 'defaults')] or names
  found = {trainer_of(other) for other in names}
  return next(x for x in ('lrt', 'sft', 'grpo') if x in found)


def _calls(tree: ast.AST, module: str, name: str) -> bool:
  return any(
    isinstance(node, ast.Attribute)
    and node.attr == name
    and isinstance(node.value, ast.Name)
    and node.value.id == module
    for node in ast.walk(tree)
  )


def fields_text(path: str, config: Config) -> str:
  """Every field of a config, with its value and its sentence."""
  lines = [f'fields of {path}, with their values:']
  for name, value in leaves(config):
    lines.append(f'  --config.{name}={_shown(value)}')
    if text := _about(config, name):
      lines.append(
        textwrap.fill(
          text, _WIDTH, initial_indent=' ' * 6, subsequent_indent=' ' * 6
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


def _about(config: Config, name: str) -> str:
  """The meaning of a field, or of a keyword of a function by its docstring and
  annotation, and what is accepted; '' where nothing is known."""
  if entry := field_of(name):
    return f'{entry.about} Accepts {described(entry.annotation)}.'
  with suppress(ValueError):  # the part has no function
    part, keyword = function_of(name) or ('', '')
    _, spec, role = function_at(config, part)
    return argument_text(spec, role.package, keyword)
  return ''


def _first_sentence(source: str) -> str:
  paragraph, *_ = (ast.get_docstring(ast.parse(source)) or '').split('\n\n')
  return re.split(r'(?<=\.) (?=[A-Z])', ' '.join(paragraph.split()))[0]


def _shown(value: object) -> str:
  text = value if isinstance(value, str) else repr(value)
  return (
    repr(text) if text == '' or text != text.strip() or '\n' in text else text
  )
