"""The console script: `hybrid-latent grpo ...` is `python -m
hybrid_latent.experiments.grpo ...`.
"""

import os
import pkgutil
import runpy
import sys
from importlib.util import find_spec

from . import PACKAGE, __path__


def main() -> None:
  """Runs the module of this package that the first argument names."""
  commands = [
    name
    for _, name, is_folder in pkgutil.iter_modules(__path__)
    if name[0] != '_'
    and (not is_folder or find_spec(f'{PACKAGE}.{name}.__main__'))
  ]
  if len(sys.argv) < 2 or sys.argv[1] not in commands:
    print('usage: hybrid-latent COMMAND [-h] ...', *commands, sep='\n  ')
    sys.exit(2)
  if not sys.flags.safe_path:
    sys.path[0] = os.getcwd()  # as `python -m` has it: your modules are there
  command = f'{PACKAGE}.{sys.argv.pop(1)}'
  runpy.run_module(command, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
