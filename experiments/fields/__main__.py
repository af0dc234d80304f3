"""Prints the table of all fields, docs/config.md."""

import argparse

from . import help, renamed

if __name__ == '__main__':
  parser = argparse.ArgumentParser(
    'python -m experiments.fields', None, __doc__
  )
  parser.add_argument(
    '--renamed',
    action='store_true',
    help='print the old names of fields and their new ones, docs/migration.md',
  )
  page = renamed if parser.parse_args().renamed else help
  print(page.markdown(), end='')
