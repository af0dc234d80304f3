"""Prints docs/config.md, or with --renamed docs/migration.md:
`python -m experiments.fields > docs/config.md`."""

import sys

from . import help, renamed

if __name__ == '__main__':
  page = renamed if '--renamed' in sys.argv else help
  print(page.markdown(), end='')
