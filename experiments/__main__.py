"""The console script: `hybrid-latent grpo ...` is `python -m
hybrid_latent.experiments.grpo ...`.
"""

import ast
import os
import runpy
import sys
import textwrap
from pathlib import Path

from . import PACKAGE, check_extra

_GUARD = "\nif __name__ == '__main__'"


def main() -> None:
  """Runs the command that the first argument names, or lists all."""
  found, name = commands(), ''.join(sys.argv[1:2])
  if name not in found:
    print('usage: hybrid-latent COMMAND [-h] ...\n\ncommands:')
    for command, path in found.items():
      print(_line(command, path))
    sys.exit(0 if name in ('-h', '--help') else 2)
  check_extra()
  if not sys.flags.safe_path:
    sys.path[0] = os.getcwd()  # as `python -m` has it: your modules are there
  del sys.argv[1]
  runpy.run_module(f'{PACKAGE}.{name}', run_name='__main__', alter_sys=True)


def commands() -> dict[str, Path]:
  """The files of the commands, by names such as `grpo` and `aot.scaling`."""
  root, found = Path(__file__).parent, {}
  for path in sorted(root.rglob('*.py')):
    parts = path.relative_to(root).with_suffix('').parts
    if path != Path(__file__) and _GUARD in path.read_text('utf-8'):
      found['.'.join(x for x in parts if x != '__main__')] = path
  return found


def _line(command: str, path: Path) -> str:
  """A command with the first sentence of its file."""
  about = ast.get_docstring(ast.parse(path.read_text('utf-8'))) or ''
  return textwrap.fill(
    f'{command:24} {about.partition(chr(10) * 2)[0]}',
    80,
    initial_indent='  ',
    subsequent_indent=' ' * 27,
  )


if __name__ == '__main__':
  main()
