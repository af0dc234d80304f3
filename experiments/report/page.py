"""The page of a report: results, what was run, curves, step times, samples."""

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np

from .charts import Chart, css_classes
from .completions_html import completions_html, latent_scale_html
from .curves import first_curves, training_curves
from .evaluations import Evaluations, evaluations
from .figures import write_figures, write_picture, write_tables
from .origin import origin_html
from .run_folders import (
  config_fields,
  is_evaluation,
  progress,
  run_info,
  seed_groups,
)
from .step_times import step_times_html
from .svg import svg
from .tables import Run, read_rows, scrolled_table, write_atomic

# What the charts of a section may have in all, so that a page of forty runs
# stays below 2 MB: points of their lines, and values to read.
_POINTS, _READOUTS = 40_000, 4_000


def html_report(
  path: str | Path,
  *,
  title: str,
  intro: str,
  table: Sequence[dict],
  runs: Mapping[str, str | Path],
  pictures: Sequence[Chart] = (),
  figures: str | Path | None = None,
) -> None:
  """Writes the page.

  Args:
    path: the HTML file.
    title: one line.
    intro: what was run; a blank line starts a paragraph.
    table: the results, one dict per row; floats are shown with four digits.
    runs: name on the page -> working directory of the run.
    pictures: charts above the text.
    figures: the folder for the files of charts (PNG, SVG, CSV) and tables
      (CSV, LaTeX).
  """
  metrics = _metrics(runs)
  groups = seed_groups({name: runs[name] for name in metrics})
  curves = training_curves(metrics, groups)
  records = {name: x for name, x in runs.items() if is_evaluation(x)}
  found = evaluations(records) if records else None
  samples = {name: read_rows(run, 'completions') for name, run in runs.items()}
  template = Path(__file__).with_name('report.html').read_text('utf-8')
  page = Template(template).substitute(
    title=html.escape(title),
    pictures=_charts_html(pictures),
    intro=''.join(
      f'<p>{html.escape(part)}</p>' for part in intro.split('\n\n') if part
    ),
    table=scrolled_table(table),
    evaluations=_evaluations_html(found, _traces_links(path, records)),
    origin=origin_html(runs),
    legend=_legend(groups),
    curves=_charts_html(curves.first),
    more=_charts_html(curves.more),
    constant=_constant(curves.constant),
    times=step_times_html(metrics),
    scale=latent_scale_html() if any(samples.values()) else '',
    completions=completions_html(samples),
  )
  write_atomic(path, page)
  if figures:
    write_figures(figures, [*(found.charts if found else []), *curves.first])
    tables = {'results': found.results} | found.more if found else {}
    write_tables(figures, {'runs': table} | tables)


def curves_png(path: str | Path, runs: Mapping[str, str | Path]) -> None:
  """Writes the first curves of the page as a picture, for a README."""
  metrics = _metrics(runs)
  groups = seed_groups({name: runs[name] for name in metrics})
  curves = training_curves(metrics, groups)
  write_picture(path, curves.first[:6])


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
    curves = first_curves(metric for row in rows for metric in row)
    for metric in dict.fromkeys([*evaluated, *(curve[0] for curve in curves)]):
      last = [r.get(metric) for r in rows if r['step'] >= begin]
      if values := [value for value in last if value is not None]:
        table[-1][metric] = float(np.mean(values))
  return table


def _metrics(runs: Mapping[str, str | Path]) -> dict[str, Run]:
  """The rows of each run that trained; none of a run that ended before its
  first step."""
  found = {
    name: read_rows(
      run,
      'metrics',
      needed=not (run_info(str(run)) or is_evaluation(run)),
    )
    for name, run in runs.items()
  }
  return {
    name: rows
    for name, rows in found.items()
    if rows or not is_evaluation(runs[name])
  }


def _evaluations_html(found: Evaluations | None, links: str) -> str:
  if not found:
    return ''
  tables = ''.join(
    f'<h3>{html.escape(title)}</h3>{scrolled_table(rows)}'
    for title, rows in found.more.items()
    if rows
  )
  return (
    f'{scrolled_table(found.results)}{links}'
    f'<ul class="runs">{_legend(found.arms)}</ul>'
    f'<div class="charts">{_charts_html(found.charts)}</div>{tables}'
  )


def _traces_links(page: str | Path, records: Mapping[str, str | Path]) -> str:
  """Links to the pages that experiments.traces wrote beside records."""
  links = ''
  for name, folder in records.items():
    if (traces := Path(folder) / 'traces.html').exists():
      place = quote(os.path.relpath(traces, Path(page).parent))
      links += f'<a href="./{place}">{html.escape(name)}</a> '
  return f'<p>Completions, token by token: {links}</p>' * bool(links)


def _charts_html(charts: Sequence[Chart]) -> str:
  lines = sum(len(chart.series) for chart in charts) or 1
  points = min(max(_POINTS // lines, 12), 240)
  readouts = min(max(_READOUTS // lines, 3), 40)
  return ''.join(
    f'<figure><figcaption><b>{html.escape(chart.title)}</b> '
    f'{html.escape(chart.note)}</figcaption>'
    f'{svg(chart, points, readouts)}</figure>'
    for chart in charts
  )


def _constant(metrics: Mapping[str, float]) -> str:
  texts = ', '.join(f'{name} = {x:.4g}' for name, x in metrics.items())
  note = f'<p class="note">The same in all steps: {html.escape(texts)}</p>'
  return note * bool(texts)


def _legend(names: Iterable[str]) -> str:
  return ''.join(
    f'<li class="{css_classes(index)}">{html.escape(name)}</li>'
    for index, name in enumerate(names)
  )
