"""Writes one page of runs and evaluations: results, settings, curves, step
times and completions.

    python -m experiments.report --runs runs/grpo runs/hrpo --out=report.html

A run is the --workdir of a trainer or of experiments.evaluate. The folder of a
sweep means its cells, any other folder the runs in it, and a pattern such as
'runs/seed=*' what it matches. Commas separate runs, except in a name that
exists with them. Runs that differ in the seed alone are one line of a chart,
their mean.

The page is one file without scripts: it can be mailed, archived and opened from
disk. Model outputs are untrusted: they are escaped, and the page's content
security policy forbids scripts and external resources.
"""

from ..fields.accepted import Folder
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('report', __doc__)
  parser.add_argument(
    '--runs',
    required=True,
    nargs='+',
    action='extend',
    type=cli.value(Folder),
    help='folders of runs or of sweeps, or patterns',
  )
  out = cli.value(Folder)
  parser.add_argument(
    '--out', default='report.html', type=out, help='HTML file to write'
  )
  parser.add_argument(
    '--figures',
    type=out,
    help='folder for PNG, SVG and CSV files of the charts, and for CSV and '
    'LaTeX of the tables',
  )
  parser.add_argument('--title', default='Report', help='heading of the page')
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from pathlib import Path

from .page import html_report, summary_table
from .run_folders import find_runs, is_evaluation
from .tables import output_file, output_folder, read_rows

_INTRO = 'The first table has means over the last tenth of each run.'


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  runs = find_runs(flags.runs)
  empty = [
    name
    for name, run in runs.items()
    if not is_evaluation(run) and not read_rows(run, 'metrics')
  ]
  runs = {name: run for name, run in runs.items() if name not in empty}
  notes = [f'Without a step, and left out: {", ".join(empty)}.'] * bool(empty)
  if not runs:
    raise ValueError(f'--runs: {notes[0]} Write runs that have one')
  output_file(flags.out, '--out')
  if flags.figures:
    output_folder(flags.figures, '--figures')
  table = summary_table(runs)
  html_report(
    flags.out,
    title=flags.title,
    intro='\n\n'.join([_INTRO * bool(table), *notes]),
    table=table,
    runs=runs,
    figures=flags.figures,
  )
  print(
    *(f'{len(runs)} run{"s"[: len(runs) != 1]}: {", ".join(runs)}', *notes),
    f'wrote {flags.out}; open it in a browser: '
    f'{Path(flags.out).resolve().as_uri()}',
    sep='\n',
  )


if __name__ == '__main__':
  main()
