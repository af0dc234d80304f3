"""One page that shows what was run, how it went, and where samples thought.

    python -m experiments.report --runs=runs/grpo,runs/hrpo --out=report.html

The page is one file without scripts: it can be mailed, archived and opened
from disk. Texts come from a model and are hostile: they are escaped, and the
page's own policy forbids scripts and everything from outside.
"""

import argparse
import html
import io
import math
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.figure import Figure

from experiments.charts import Series, binned, line_chart, shade, smooth
from experiments.samples import samples_html
from experiments.tables import Run, columns, rows_of, write_whole

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
  samples = {name: rows_of(run, 'completions') for name, run in runs.items()}
  latent = [max(r['latent'], default=0) for s in samples.values() for r in s]
  top = max(latent, default=0) or 1.0
  template = Path(__file__).with_name('report.html').read_text('utf-8')
  page = Template(template).substitute(
    title=html.escape(title),
    intro=''.join(f'<p>{html.escape(p)}</p>' for p in intro.split('\n\n')),
    table=_table(table),
    legend=_legend(list(runs)),
    curves=_charts(metrics, _CURVES),
    more=_charts(metrics, _others(metrics)),
    times=_times(metrics),
    scale=f'{top:.2g}',
    completions=''.join(samples_html(*run, top) for run in samples.items()),
  )
  write_whole(path, page)


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
  lines = ['-', '--', ':', '-.']
  looks = {
    name: {'color': f'C{index % 10}', 'linestyle': lines[index // 10 % 4]}
    for index, name in enumerate(metrics)
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
  write_whole(path, picture.getvalue())


def outcome(runs: Mapping[str, str | Path]) -> list[dict]:
  """A row a run: its first curves, averaged over the last tenth of it."""
  metrics = _metrics(runs)
  table = []
  for name, rows in metrics.items():
    steps = max((row['step'] + 1 for row in rows), default=0)
    table.append({'run': name, 'steps': steps})
    for metric, *_ in _CURVES:
      last = [r.get(metric) for r in rows if r['step'] >= 0.9 * steps]
      if values := [value for value in last if value is not None]:
        table[-1][metric] = float(np.mean(values))
  return table


def _metrics(runs: Mapping[str, str | Path]) -> dict[str, Run]:
  return {name: rows_of(r, 'metrics', needed=True) for name, r in runs.items()}


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
    f'{html.escape(unit)}</figcaption>{line_chart(series, heading)}</figure>'
    for metric, heading, unit in curves
    if (series := _series(metrics, metric))
  )


def _legend(names: list[str]) -> str:
  return ''.join(
    f'<li class="{shade(index)}">{html.escape(name)}</li>'
    for index, name in enumerate(names)
  )


def _table(rows: list[dict]) -> str:
  names = columns(rows)
  head = ''.join(
    f'<th{_number(rows[0].get(name))}>{html.escape(str(name))}</th>'
    for name in names
  )
  body = ''.join(
    f'<tr>{"".join(_cell(row.get(name)) for name in names)}</tr>'
    for row in rows
  )
  return f'<thead><tr>{head}</tr></thead><tbody>{body}</tbody>' if rows else ''


def _cell(value) -> str:
  text = str(value)
  if isinstance(value, Real) and not isinstance(value, Integral):
    text = f'{value:.4g}'
  if value is None or text == 'nan':
    text = '–'
  return f'<td{_number(value)}>{html.escape(text)}</td>'


def _number(value) -> str:
  """Numbers stand at the right of their column."""
  return ' class="number"' if isinstance(value, Real) else ''


def _times(metrics: Mapping[str, Run]) -> str:
  """A bar a run, as long as its step, split into the parts of that step."""
  means = {name: _mean_times(rows) for name, rows in metrics.items()}
  parts = list({part: None for mean in means.values() for part in mean})
  longest = max((sum(mean.values()) for mean in means.values()), default=0)
  return ''.join(
    _bar(name, {part: mean.get(part, 0) for part in parts}, longest)
    for name, mean in means.items()
    if mean
  )


def _mean_times(rows: Run) -> dict[str, float]:
  """Seconds a step spends in each part, without the step that compiles."""
  rows = [r for r in rows if 'time/step' in r]
  rows = rows[len(rows) > 1 :]
  parts = dict.fromkeys(k for r in rows for k in r if k.startswith('time/'))
  parts.pop('time/step', None)
  return {k[5:]: float(np.mean([r.get(k) or 0 for r in rows])) for k in parts}


def _bar(name: str, parts: Mapping[str, float], longest: float) -> str:
  total = sum(parts.values())
  spans = ''.join(
    f'<span class="p{index % 8}" style="width:{seconds / longest:.3%}"></span>'
    for index, seconds in enumerate(parts.values())
  )
  keys = ''.join(
    f'<li class="p{index % 8}">{html.escape(part)} <b>{seconds:.2g} s</b> '
    f'{seconds / total:.0%}</li>'
    for index, (part, seconds) in enumerate(parts.items())
  )
  return (
    f'<div class="time"><b>{html.escape(name)}</b> {total:.3g} s a step'
    f'<div class="bar">{spans}</div><ul class="runs">{keys}</ul></div>'
  )


def _flags() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description='One page about some runs.')
  parser.add_argument(
    '--runs', required=True, help='working directories, separated by commas'
  )
  parser.add_argument('--out', default='report.html', help='the HTML file')
  parser.add_argument('--title', default='Training report')
  return parser.parse_args()


def main() -> None:
  """The command: the runs under their folders' names."""
  flags = _flags()
  folders = flags.runs.rstrip(',').split(',')
  names = [folder.rstrip('/').rsplit('/', 1)[-1] for folder in folders]
  if len(set(names)) < len(names):
    names = folders
  runs = dict(zip(names, folders, strict=True))
  html_report(
    flags.out,
    title=flags.title,
    intro='The last tenth of every run, on average.',
    table=outcome(runs),
    runs=runs,
  )


if __name__ == '__main__':
  main()
