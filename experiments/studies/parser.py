"""The options that studies have."""

import argparse
import re

from hybrid_latent.ranges import PositiveInt

from ..fields.accepted import Folder
from ..training import cli


def study_parser(name: str, about: str | None, seeds: int = 1) -> cli.Parser:
  """Options of `python -m experiments.studies.NAME`."""
  parser = cli.Parser(f'studies.{name}', about)
  add = parser.add_argument
  add(
    '--workdir',
    default=f'runs/{name}',
    type=cli.value(Folder),
    help='folder to write',
  )
  count = cli.value(PositiveInt)
  add('--seeds', type=count, default=seeds, help='number of seeds')
  return parser


def cells_parser(name: str, about: str | None, seeds: int = 3) -> cli.Parser:
  """Options of a study that is made of cells."""
  parser = study_parser(name, about, seeds)
  parser.add_argument(
    '--part',
    default=(0, 1),
    type=_part,
    metavar='I/N',
    help='of N processes that share a workdir, the one with index I: it runs '
    'every Nth cell',
  )
  return parser


def _part(text: str) -> tuple[int, int]:
  found = re.fullmatch(r'(\d+)/(\d+)', text)
  if not found or int(found[1]) >= int(found[2]):
    raise argparse.ArgumentTypeError(
      f'{text!r}: write I/N with I below N, such as 0/2'
    )
  return int(found[1]), int(found[2])
