"""One page that shows what was run, how it went, and where samples thought.

    python -m experiments.report --runs runs/grpo runs/hrpo --out=report.html

A run is the --workdir of a trainer. The folder of a sweep stands for its cells,
any other folder for the runs in it, and 'runs/seed=*' for what it matches. Runs
with commas between them are several, but for a name that exists as it stands.

The page is one file without scripts: it can be mailed, archived and opened
from disk. Texts come from a model and are hostile: they are escaped, and the
page's own policy forbids scripts and everything from outside.
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
  parser.add_argument('--out', default='report.html', type=out)
  parser.add_argument('--title', default='Training report')
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import html
import io
import math
from collections.abc import Mapping
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.figure import Figure

from .completions_html import samples_html, scale_html
from .run_folders import (
  about,
  command_of,
  differences,
  find_runs,
  settings,
  state,
)
from .step_times import step_times_html
from .svg_charts import (
  DASHES,
  Series,
  binned,
  dash,
  identical,
  line_chart,
  shade,
  smooth,
  smoothing,
)
from .tables import Run, html_table, read_rows, write_atomic

# What a page shows first: metric, title, what it means. A metric that no run
# has is left out; all the others follow under "More metrics".
_CURVES = (
  ('eval/accuracy', 'Accuracy', 'share of test problems'),
  ('reward', 'Reward', 'mean over completions'),
  ('reward/mean', 'Reward', 'mean over completions'),
  ('hidden_ratio', 'Latent share', 'of what the model reads, 0 to 1'),
  ('completions/mean_length', 'Completion length', 'tokens'),
  ('entropy', 'Entropy', 'nats per token'),
  ('kl', 'KL to the reference', 'nats per token'),
  ('loss', 'Loss', 'what the optimizer minimizes'),
)


_INTRO = 'The table has means over the last tenth of each run.'


def html_report(
  path: str | Path,
  *,
  title: str,
  intro: str,
  table: list[dict],
  runs: Mapping[str, str | Path],
) -> None:
  """Writes the page.

  Args:
    path: the HTML file.
    title: one line.
    intro: what was run; a blank line starts a paragraph.
    table: the outcome, a dict a row; floats get four digits.
    runs: the name on the page -> the working directory of the run.
  """
  metrics = _metrics(runs)
  samples = {name: read_rows(run, 'completions') for name, run in runs.items()}
  template = Path(__file__).with_name('report.html').read_text('utf-8')
  page = Template(template).substitute(
    title=html.escape(title),
    intro=''.join(f'<p>{html.escape(p)}</p>' for p in intro.split('\n\n')),
    table=html_table(table),
    origin=_origin(runs),
    legend=_legend(list(runs)),
    curves=_charts(metrics, _CURVES),
    more=_charts(metrics, _others(metrics)),
    times=step_times_html(metrics),
    scale=scale_html() if any(samples.values()) else '',
    completions=''.join(samples_html(*run) for run in samples.items()),
  )
  write_atomic(path, page)


def curves_png(path: str | Path, runs: Mapping[str, str | Path]) -> None:
  """The first curves of the page as a picture, for a README."""
  metrics = _metrics(runs)
  shown = [c for c in _CURVES if _series(metrics, c[0])][:6]
  across = min(3, max(len(shown), 1))
  rows = max(math.ceil(len(shown) / across), 1)
  figure = Figure(figsize=(4 * across, 2.7 * rows), layout='constrained')
  axes = figure.subplots(rows, across, squeeze=False).ravel()
  for ax in axes:
    ax.set_visible(False)
  looks = {
    name: {
      'color': f'C{i % 8}',
      'linestyle': DASHES[dash(i)],
      'zorder': 2 + dash(i),
    }
    for i, name in enumerate(metrics)
  }
  for ax, (metric, heading, unit) in zip(axes, shown, strict=False):
    ax.set_visible(True)
    ax.set_title(f'{heading} ({unit})', fontsize=8, loc='left')
    ax.spines[['top', 'right']].set_visible(False)
    ax.grid(axis='y', alpha=0.25)
    ax.tick_params(labelsize=8)
    for name, (steps, values) in _series(metrics, metric).items():
      ax.plot(steps, values, **looks[name], alpha=0.25, linewidth=0.8)
      ax.plot(steps, smooth(values), **looks[name], label=name)
  if shown:
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
      handles, labels, loc='outside lower center', ncols=4, frameon=False
    )
  picture = io.BytesIO()
  figure.savefig(picture, format='png', dpi=150)
  write_atomic(path, picture.getvalue())


def outcome(runs: Mapping[str, str | Path]) -> list[dict]:
  """A row a run: its first curves, averaged over the last tenth of it."""
  metrics = _metrics(runs)
  table = []
  for name, rows in metrics.items():
    # An evaluation after the last step is no step more.
    trained = [row for row in rows if 'loss' in row] or rows
    steps = max((row['step'] + 1 for row in trained), default=0)
    how = state(str(runs[name]))
    table.append({'run': name, 'state': how, 'steps': steps})
    fields = settings(str(runs[name]))
    rewards = [f.split('.')[1] for f in fields if f.startswith('rewards.')]
    shown = [f'eval/{reward}' for reward in rewards]
    begin = min(0.9 * steps, steps - 1)
    for metric in dict.fromkeys([*shown, *(curve[0] for curve in _CURVES)]):
      last = [r.get(metric) for r in rows if r['step'] >= begin]
      if values := [value for value in last if value is not None]:
        table[-1][metric] = float(np.mean(values))
  return table


def _metrics(runs: Mapping[str, str | Path]) -> dict[str, Run]:
  """Those of a run that ended before its first step are empty."""
  return {
    name: read_rows(run, 'metrics', needed=not about(str(run)))
    for name, run in runs.items()
  }


def _series(metrics: Mapping[str, Run], metric: str) -> dict[str, Series]:
  """Every run's curve of one metric; {} where no run has a number."""
  series = {}
  for name, rows in metrics.items():
    points = [(r['step'], r[metric]) for r in rows if metric in r]
    steps, values = np.array(points, float).reshape(-1, 2).T  # None: NaN
    # A run without this metric keeps its place, and with it its colour.
    series[name] = binned(steps, values)
  found = any(np.isfinite(values).any() for _, values in series.values())
  return series if found else {}


def _others(metrics: Mapping[str, Run]) -> list[tuple[str, str, str]]:
  """All other metrics but the times, under their own names."""
  names = {n for rows in metrics.values() for r in rows for n in r}
  names -= {'step', *(metric for metric, *_ in _CURVES)}
  return [(n, n, '') for n in sorted(names) if not n.startswith('time/')]


def _charts(metrics, curves) -> str:
  return ''.join(
    f'<figure><figcaption><b>{html.escape(heading)}</b> '
    f'{html.escape(unit)}{_remarks(series)}</figcaption>'
    f'{line_chart(series, heading)}</figure>'
    for metric, heading, unit in curves
    if (series := _series(metrics, metric))
  )


def _remarks(series: Mapping[str, Series]) -> str:
  """What the lines alone do not show."""
  said = [f'the same line: {", ".join(x)}' for x in identical(series)]
  if steps := smoothing(series):
    said.append(f'smoothed, σ = {steps}')
  return ''.join(f' · {html.escape(x)}' for x in said)


def _origin(runs: Mapping[str, str | Path]) -> str:
  """What made each run, where their configs differ, and all of these."""
  made = {name: about(str(run)) for name, run in runs.items()}
  fields = {name: settings(str(run)) for name, run in runs.items()}
  table = [
    {
      'run': name,
      'state': state(str(run)),
      'seed': fields[name].get('seed'),
      'revision': made[name].get('revision', '')[:12],
      'command': command_of(str(run)),
    }
    for name, run in runs.items()
    if made[name]
  ]
  parts = [_scrolled(table)]
  if len(table) > 1:
    rows = [
      {'field': field, **dict(zip(runs, values, strict=True))}
      for field, values in differences(fields).items()
    ]
    told = 'Where the configs differ' if rows else 'The configs are the same'
    of_some = [row for row in rows if '–' in row.values()]
    of_all = [row for row in rows if row not in of_some]
    parts += [f'<h3>{told}</h3>', _scrolled(of_all)]
    parts += [
      '<details><summary>Fields that not all of them have</summary>'
      f'{_scrolled(of_some)}</details>' * bool(of_some)
    ]
  for name, own in fields.items():
    lines = '\n'.join(f'{field} = {x}' for field, x in own.items())
    parts.append(
      f'<details><summary>All of {html.escape(name)}</summary>'
      f'<pre>{html.escape(lines)}</pre></details>' * bool(own)
    )
  return ''.join(parts) * bool(table)


def _scrolled(rows: list[dict]) -> str:
  return f'<div class="scroll"><table>{html_table(rows)}</table></div>'


def _legend(names: list[str]) -> str:
  return ''.join(
    f'<li class="{shade(index)}">{html.escape(name)}</li>'
    for index, name in enumerate(names)
  )


@cli.report_errors()
def main() -> None:
  """The command: the runs under their folders' names."""
  flags = _parser().parse_args()
  runs = find_runs(flags.runs)
  aside = [x for x in runs if not read_rows(runs[x], 'metrics')]
  runs = {name: run for name, run in runs.items() if name not in aside}
  told = [f'Without a step, and left out: {", ".join(aside)}.'] * bool(aside)
  if not runs:
    raise ValueError(f'--runs: {told[0]} Write runs that have one')
  html_report(
    flags.out,
    title=flags.title,
    intro='\n\n'.join([_INTRO, *told]),
    table=outcome(runs),
    runs=runs,
  )
  print(
    *(f'{len(runs)} runs: {", ".join(runs)}', *told),
    f'wrote {flags.out}; open it in a browser: '
    f'{Path(flags.out).resolve().as_uri()}',
    sep='\n',
  )


if __name__ == '__main__':
  main()
