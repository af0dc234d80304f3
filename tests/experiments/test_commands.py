"""Every command is in the table of README.md, and none imports another."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.__main__ import commands
from tests.test_house_rules import FILES, IMPORTS, TREES

ROOT = 'experiments.'
README = Path(__file__).parents[2] / 'experiments/README.md'


def is_run(module: str) -> bool:
  """Whether it has `if __name__ == '__main__'`, or is a __main__."""
  return module.endswith('.__main__') or any(
    isinstance(node, ast.If) and ast.unparse(node.test).startswith('__name__ ')
    for node in TREES[module].body
  )


COMMANDS = [
  name
  for name in FILES
  if name.startswith(ROOT) and name != f'{ROOT}__main__' and is_run(name)
]


@pytest.mark.parametrize('module', COMMANDS)
def test_a_command_is_in_the_table(module):
  name = module.removeprefix(ROOT).removesuffix('.__main__')
  rows = [x for x in README.read_text().splitlines() if x.startswith('| ')]
  assert any(re.search(rf'`{re.escape(name)}[` ]', row) for row in rows)


def test_the_console_script_runs_every_command_and_lists_them():
  assert sorted(commands()) == sorted(
    name.removeprefix(ROOT).removesuffix('.__main__') for name in COMMANDS
  )
  script = [sys.executable, '-m', 'experiments']
  for words, code, expected in (
    (['--help'], 0, '  aot.forecasts            Compiles every method for'),
    (['nothing'], 2, '  studies.cot_ablation     Ablates a model'),
    (['benchmarks.decode', '--help'], 0, 'Decoding speed compared with'),
  ):
    done = subprocess.run([*script, *words], capture_output=True, text=True)
    assert done.returncode == code and expected in done.stdout, done.stderr


def test_a_file_beside_the_folders_is_a_command():
  files = [path for path in README.parent.glob('*.py')]
  names = {ROOT + path.stem for path in files if path.stem[:2] != '__'}
  assert names <= {*COMMANDS}


def test_no_command_imports_another():
  """But for those that run, compile or time the others."""
  about_others = tuple(f'{ROOT}{x}.' for x in ('studies', 'aot', 'benchmarks'))
  assert not [
    f'{name} imports {other}'
    for name in FILES
    if not name.startswith(about_others)
    for other in IMPORTS[name] & {*COMMANDS}
  ]
  assert not [name for name in FILES if any(
    other.endswith('__main__') for other in IMPORTS[name])]  # fmt: skip
