"""The page of a report: what was run, curves, step times, completions."""

import html
import io
import math
from collections.abc import Mapping
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.figure import Figure

from .completions_html import completions_html, latent_scale_html
from .run_folders import (
  config_differences,
  config_fields,
  progress,
  run_command,
  run_info,
)
from .step_times import step_times_html
from .svg_charts import (
  DASHES,
  Series,
  css_classes,
  dash_index,
  downsample,
  identical_curves,
  line_chart,
  smooth,
  smoothing_width,
)
from .tables import Run, html_table, read_rows, write_atomic

# The first curves of a page: metric, title, unit or meaning. A metric that no
# run has is left out; all others follow under "More metrics".
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
    table: the results, one dict per row; floats are shown with four digits.
    runs: name on the page -> working directory of the run.
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
    scale=latent_scale_html() if any(samples.values()) else '',
    completions=''.join(completions_html(*run) for run in samples.items()),
  )
  write_atomic(path, page)


def curves_png(path: str | Path, runs: Mapping[str, str | Path]) -> None:
  """Writes the first curves of the page as a picture, for a README."""
  metrics = _metrics(runs)
  shown = [c for c in _CURVES if _series(metrics, c[0])][:6]
  across = min(3, max(len(shown), 1))
  rows = max(math.ceil(len(shown) / across), 1)
  figure = Figure(figsize=(4 * across, 2.7 * rows), layout='constrained')
  axes = figure.subplots(rows, across, squeeze=False).ravel()
  for ax in axes:
    ax.set_visible(False)
  styles = {
    name: {
      'color': f'C{i % 8}',
      'linestyle': DASHES[dash_index(i)],
      'zorder': 2 + dash_index(i),
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
      ax.plot(steps, values, **styles[name], alpha=0.25, linewidth=0.8)
      ax.plot(steps, smooth(values), **styles[name], label=name)
  if shown:
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
      handles, labels, loc='outside lower center', ncols=4, frameon=False
    )
  picture = io.BytesIO()
  figure.savefig(picture, format='png', dpi=150)
  write_atomic(path, picture.getvalue())


def summary_table(runs: Mapping[str, str | Path]) -> list[dict]:
  """One row per run: the rewards of its evaluations and the metrics of its
  first curves, averaged over the last tenth of its steps."""
  table = []
  for name, rows in _metrics(runs).items():
    # The evaluation after the last update has the number of one more step.
    trained = [row for row in rows if 'loss' in row] or rows
    steps = max((row['step'] + 1 for row in trained), default=0)
    run = str(runs[name])
    table.append({'run': name, 'state': progress(run), 'steps': steps})
    fields = config_fields(run)
    rewards = [f.split('.')[1] for f in fields if f.startswith('rewards.')]
    evaluated = [f'eval/{reward}' for reward in rewards]
    begin = min(0.9 * steps, steps - 1)
    for metric in dict.fromkeys([*evaluated, *(curve[0] for curve in _CURVES)]):
      last = [r.get(metric) for r in rows if r['step'] >= begin]
      if values := [value for value in last if value is not None]:
        table[-1][metric] = float(np.mean(values))
  return table


def _metrics(runs: Mapping[str, str | Path]) -> dict[str, Run]:
  """The rows of each run; none of a run that ended before its first step."""
  return {
    name: read_rows(run, 'metrics', needed=not run_info(str(run)))
    for name, run in runs.items()
  }


def _series(metrics: Mapping[str, Run], metric: str) -> dict[str, Series]:
  """Run -> its curve of one metric; {} where no run has a number."""
  series = {}
  for name, rows in metrics.items():
    points = [(r['step'], r[metric]) for r in rows if metric in r]
    steps, values = np.array(points, float).reshape(-1, 2).T  # None: NaN
    # A run without this metric keeps its index, which is its colour.
    series[name] = downsample(steps, values)
  found = any(np.isfinite(values).any() for _, values in series.values())
  return series if found else {}


def _others(metrics: Mapping[str, Run]) -> list[tuple[str, str, str]]:
  """All other metrics except the times, with their names as titles."""
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
  """Which lines coincide, and how they are smoothed."""
  remarks = [f'the same line: {", ".join(x)}' for x in identical_curves(series)]
  if steps := smoothing_width(series):
    remarks.append(f'smoothed, σ = {steps}')
  return ''.join(f' · {html.escape(x)}' for x in remarks)


def _origin(runs: Mapping[str, str | Path]) -> str:
  """The command and revision of each run, the fields in which the configs
  differ, and all fields."""
  infos = {name: run_info(str(run)) for name, run in runs.items()}
  fields = {name: config_fields(str(run)) for name, run in runs.items()}
  table = [
    {
      'run': name,
      'state': progress(str(run)),
      'seed': fields[name].get('seed'),
      'revision': infos[name].get('revision', '')[:12],
      'command': run_command(str(run)),
    }
    for name, run in runs.items()
    if infos[name]
  ]
  parts = [_scrolled(table)]
  if len(table) > 1:
    rows = [
      {'field': field, **dict(zip(runs, values, strict=True))}
      for field, values in config_differences(fields).items()
    ]
    title = 'Where the configs differ' if rows else 'The configs are the same'
    of_some = [row for row in rows if '–' in row.values()]
    of_all = [row for row in rows if row not in of_some]
    parts += [f'<h3>{title}</h3>', _scrolled(of_all)]
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
    f'<li class="{css_classes(index)}">{html.escape(name)}</li>'
    for index, name in enumerate(names)
  )
