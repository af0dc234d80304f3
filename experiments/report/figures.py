"""The files of charts: PNG, SVG and the values as CSV."""

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..measures.formats import csv_text, latex_table
from .charts import (
  DASHES,
  STYLE,
  Chart,
  Points,
  dash_index,
  draw,
  series_colour,
)
from .tables import write_atomic

_DPI = 150
_FILE = 100  # characters of the name of a file
_NAME = 60  # characters of a name or a title
_COLUMNS = 'series', 'kind', 'x', 'y', 'low', 'high'


def write_figures(folder: str | Path, charts: Sequence[Chart]) -> None:
  """Writes FOLDER/NAME.png, .svg and .csv of each chart."""
  for chart in charts:
    path = _path(folder, chart.name)
    figure = _figure([chart])
    for kind in ('png', 'svg'):
      write_atomic(f'{path}.{kind}', _picture(figure, kind))
    write_atomic(f'{path}.csv', csv_text(_values(chart)))


def write_tables(
  folder: str | Path, tables: Mapping[str, Sequence[dict]]
) -> None:
  """Writes FOLDER/NAME.csv, and NAME.tex for LaTeX with booktabs."""
  for name, table in tables.items():
    if table:
      path = _path(folder, name.lower())
      write_atomic(f'{path}.csv', csv_text(table))
      write_atomic(f'{path}.tex', latex_table(table))


def _path(folder: str | Path, name: str) -> Path:
  """The file of a name, without what it ends with."""
  Path(folder).mkdir(parents=True, exist_ok=True)
  return Path(folder) / re.sub(r'[^\w@.-]+', '_', name)[:_FILE]


def write_picture(path: str | Path, charts: Sequence[Chart]) -> None:
  """Writes several charts of the same series as one PNG, for a README."""
  write_atomic(path, _picture(_figure(charts), 'png'))


def _figure(charts: Sequence[Chart]) -> Figure:
  """One figure, with the legend of all series below the charts."""
  across = min(3, max(len(charts), 1))
  rows = max(math.ceil(len(charts) / across), 1)
  names = list(charts[0].series) if charts else []
  # A name keeps its colour where others have no points.
  places = [
    i
    for i, name in enumerate(names)
    if any(np.isfinite(chart.series[name].y).any() for chart in charts)
  ]
  columns = 2 if across == 1 else 4
  below = 0.2 * math.ceil(len(places) / columns)
  width = 5.4 if across == 1 else 4 * across
  with rc_context(STYLE):
    figure = Figure(figsize=(width, 2.9 * rows + below), layout='constrained')
    axes = figure.subplots(rows, across, squeeze=False).ravel()
    for ax in axes[len(charts) :]:
      ax.set_visible(False)
    for ax, chart in zip(axes, charts, strict=False):
      title = f'{chart.title} ({chart.note.split(" · ")[0]})'
      ax.set_title(_printable(title), loc='left', fontsize=10)
      draw(ax, chart)
    handles = [_legend_handle(i, charts[0].kind) for i in places]
    labels = [_printable(names[i]) for i in places]
    if len(labels) > 1:
      figure.legend(handles, labels, loc='outside lower left', ncols=columns)
  return figure


def _legend_handle(index: int, kind: str) -> Line2D:
  if kind == 'dots':
    return Line2D([], [], color=series_colour(index), marker='o', linestyle='')
  dash = DASHES[dash_index(index)]
  return Line2D([], [], color=series_colour(index), linestyle=dash)


def _picture(figure: Figure, kind: str) -> bytes:
  picture = io.BytesIO()
  metadata = {'Date': None} if kind == 'svg' else {}
  with (
    warnings.catch_warnings(),
    rc_context(STYLE | {'svg.hashsalt': 'report'}),
  ):
    warnings.filterwarnings('ignore', 'Glyph')  # that the font does not have
    figure.savefig(picture, format=kind, dpi=_DPI, metadata=metadata)
  return picture.getvalue()


def _printable(text: str) -> str:
  """A name as fonts can draw it, shortened."""
  text = ''.join(x if x.isprintable() else '\N{REPLACEMENT CHARACTER}'
                 for x in text)  # fmt: skip
  return text if len(text) <= _NAME else f'{text[: _NAME - 1]}…'


def _values(chart: Chart) -> list[dict]:
  """A row per point; `low` and `high` are the ends of its interval."""
  kinds = {'': chart.series, 'mark': chart.marks}
  kinds |= {'front': {'': chart.front}} if chart.front else {}
  return [
    dict(zip(_COLUMNS, (name, kind, *row), strict=True))
    for kind, series in kinds.items()
    for name, points in series.items()
    for row in zip(*_columns(points), strict=True)
  ]


def _columns(points: Points) -> list[list]:
  """The columns of a series as numbers, None where there is none."""
  nothing = np.full(len(points.x), np.nan)
  columns = [nothing if column is None else column for column in points]
  return [[x if np.isfinite(x) else None for x in c.tolist()] for c in columns]
