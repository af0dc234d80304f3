"""Options that benchmarks have in common."""

from hybrid_latent.ranges import PositiveInt

from ..fields.accepted import Folder
from ..training import cli


def add_model_options(parser: cli.Parser) -> None:
  """Adds --model, --dtype and --remat."""
  add = parser.add_argument
  about = 'preset, .gguf file, folder or name on the hub'
  add('--model', default='smollm2-135m', type=cli.value(Folder), help=about)
  add(
    '--dtype',
    default='float32',
    choices=('float32', 'bfloat16'),
    help='of the computation',
  )
  add(
    '--remat',
    default='none',
    choices=('none', 'dots', 'full'),
    help='activations that are recomputed',
  )


def add_repeats(parser: cli.Parser) -> None:
  """Adds --repeats."""
  about = 'repetitions per median'
  parser.add_argument(
    '--repeats', type=cli.value(PositiveInt), default=5, help=about
  )


def add_out(parser: cli.Parser) -> None:
  """Adds --out."""
  about = 'append the tables to this file, which benchmarks.targets reads'
  parser.add_argument('--out', type=cli.value(Folder), help=about)
