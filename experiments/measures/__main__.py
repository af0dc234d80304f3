"""Prints the tables of the papers from the record of an evaluation.

    python -m experiments.measures --record runs/eval --table=hyrea

A record is the --workdir of `experiments.evaluate`; neither the model nor an
accelerator is needed. The tables are HyRea's (accuracy, tokens, switches per
data set), Soft Tokens' (greedy and sampled pass@1, pass@k, accuracy and NLL of
given answers), LRT's (pass@1 and pass@4 per budget, cost), HRPO's (accuracy,
hidden ratio, language mixing), the controls, and paired tests of each arm
against the --baseline. Accuracies and shares are 0 to 1, intervals are of 95 %.
Completions that could not be graded are left out and counted beside; arms that
lack a column are named. Arms that several records have begin with the names of
their folders.

With --out=FOLDER it also writes FOLDER/tables.md, and of each table NAME.csv
and NAME.tex, for LaTeX with booktabs; `all` adds entropy.csv, the mean entropy
at each index of the thinking.
"""

from ..fields.accepted import Folder
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('measures', __doc__)
  parser.add_argument(
    '--record',
    required=True,
    nargs='+',
    action='extend',
    type=cli.value(Folder),
    help='folders of evaluations; their arms are compared',
  )
  parser.add_argument(
    '--table',
    default='all',
    choices=('all', 'hyrea', 'soft_tokens', 'lrt', 'hrpo', 'controls'),
    help='table to print',
  )
  parser.add_argument(
    '--baseline',
    help='arm that others are tested against; by default base, or the first '
    'of each dataset',
  )
  parser.add_argument(
    '--out', type=cli.value(Folder), help='folder to write the tables to'
  )
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from ..report.tables import markdown_table, output_folder, write_atomic
from .formats import csv_text, latex_table, printable
from .results import by_name, read, summary
from .tables import Table, lacking, tables

TITLES = {
  'results': 'Results',
  'hyrea': 'HyRea: accuracy, tokens and switches',
  'soft_tokens': 'Soft Tokens: greedy and sampled accuracy',
  'pass_at_k': 'pass@k and maj@k',
  'out_of_domain': 'Given answers, against the baseline',
  'lrt': 'LRT: accuracy by token budget, and cost',
  'cosines': 'Cosine similarity of the latents of two problems',
  'hrpo': 'HRPO: accuracy, hidden ratio and language mixing',
  'controls': 'Controls of the latents',
  'paired_tests': 'Paired tests against the baseline',
  'spans': 'Spans of latents and entropy',
}


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  record = read(by_name(flags.record))
  if not record.samples and not record.given:
    raise ValueError(
      f'--record: {", ".join(flags.record)} have no rows: write an evaluation '
      'with at least one'
    )
  found = tables(record, flags.table, flags.baseline)
  folder = output_folder(flags.out, '--out') if flags.out else None
  text = '\n'.join(
    _section(name, table) for name, table in found.items() if name in TITLES
  )
  print(text, end='')
  if folder:
    write_atomic(folder / 'tables.md', text)
    for name, table in found.items():
      if table:
        write_atomic(folder / f'{name}.csv', csv_text(table))
      if table and name in TITLES:
        write_atomic(folder / f'{name}.tex', latex_table(_shown(name, table)))
    print(f'\nwrote {folder}/tables.md, and the tables as CSV and LaTeX')


def _shown(name: str, table: Table) -> Table:
  return summary(table) if name == 'results' else table


def _section(name: str, table: Table) -> str:
  if not (table := _shown(name, table)):
    return f'## {TITLES[name]}\n\nThe record has no rows for this table.\n'
  notes = [{'note': note} for note in lacking(table)]
  notes = '\n'.join(row['note'] for row in printable(notes))
  parts = f'## {TITLES[name]}', markdown_table(printable(table)), notes
  return '\n\n'.join(filter(None, parts)) + '\n'


if __name__ == '__main__':
  main()
