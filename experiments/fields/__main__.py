"""Prints docs/config.md: `python -m experiments.fields > docs/config.md`."""

from .help import markdown

if __name__ == '__main__':
  print(markdown(), end='')
