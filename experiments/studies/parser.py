"""The options that all studies have."""

from hybrid_latent.ranges import PositiveInt

from ..fields.accepted import Folder
from ..training import cli


def study_parser(name: str, about: str | None) -> cli.Parser:
  """Options of `python -m experiments.studies.NAME`."""
  parser = cli.Parser(f'studies.{name}', about)
  add = parser.add_argument
  add(
    '--workdir',
    default=f'runs/{name}',
    type=cli.value(Folder),
    help='folder to write',
  )
  add('--seeds', type=cli.value(PositiveInt), default=1, help='number of seeds')
  return parser
