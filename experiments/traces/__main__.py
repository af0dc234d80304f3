"""Writes one page on which a person reads the samples of evaluations.

    python -m experiments.traces --record=runs/eval
    python -m experiments.traces --record runs/a runs/b --out=traces.html

A record is the --workdir of experiments.evaluate. Tokens are shaded by the
latent share of what the model reads in their place; a span of latents shows
the tokens that they are nearest to. The page filters, sorts, searches, and has
the arms of a question side by side; `?` on it lists its keys, and its address
names what it shows, to be copied.

The page is one file that needs no network: it can be mailed, archived and
opened from disk. Model outputs are untrusted: they are data, never markup, and
the page's content security policy allows its own script alone.
"""

from hybrid_latent.ranges import PositiveInt

from ..fields.accepted import Folder
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('traces', __doc__)
  folder = cli.value(Folder)
  parser.add_argument(
    '--record',
    required=True,
    nargs='+',
    action='extend',
    type=folder,
    help='folders of evaluations',
  )
  parser.add_argument(
    '--out',
    type=folder,
    help='HTML file to write; default: traces.html in the first record',
  )
  for name, what in (
    ('num_prompts', 'prompts of each dataset'),
    ('num_samples', 'samples of each prompt'),
  ):
    parser.add_argument(
      f'--{name}',
      type=cli.value(PositiveInt),
      help=f'how many {what} to show, the first ones; default: all',
    )
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..evaluation.record import Sample, stream_record
from ..report.tables import output_file, write_atomic
from .page import traces_html

_LARGE = 150  # MB: a browser needs ten seconds for it


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  out = Path(flags.record[0]) / 'traces.html'
  if flags.out:
    out = output_file(flags.out, '--out')
  records = {
    str(folder): _first(
      stream_record(folder), flags.num_prompts, flags.num_samples
    )
    for folder in flags.record
  }
  write_atomic(out, traces_html(records))
  size = out.stat().st_size / 1e6
  print(
    f'wrote {out}, {size:.1f} MB; open it in a browser: '
    f'{out.resolve().as_uri()}'
  )
  if size > _LARGE:
    print('it opens slowly: --num_prompts and --num_samples make it smaller')


def _first(
  rows: Iterable[Sample], prompts: int | None, samples: int | None
) -> Iterator[Sample]:
  """The rows of the first prompts of each dataset, and of the first samples of
  each prompt."""
  found: dict[str, set[int]] = {}
  for row in rows:
    seen = found.setdefault(row['dataset'], set())
    if prompts is None or len(seen) < prompts:
      seen.add(row['prompt'])
    if row['prompt'] in seen and (samples is None or row['sample'] < samples):
      yield row


if __name__ == '__main__':
  main()
