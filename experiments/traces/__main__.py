"""Writes one page on which a person reads the samples of evaluations.

    python -m experiments.traces --record=runs/evaluation
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
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from pathlib import Path

from ..evaluation.record import read_record
from ..report.tables import write_atomic
from .page import traces_html


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  records = {str(folder): read_record(folder) for folder in flags.record}
  out = Path(flags.out or f'{flags.record[0]}/traces.html')
  write_atomic(out, traces_html(records))
  print(
    f'{sum(map(len, records.values()))} samples',
    f'wrote {out}; open it in a browser: {out.resolve().as_uri()}',
    sep='\n',
  )


if __name__ == '__main__':
  main()
