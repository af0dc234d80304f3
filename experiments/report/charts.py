"""Charts: what one shows, and how matplotlib draws it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .smoothing import Values, downsample, is_smoothed, smooth

# The light colours of report.html, by their variables there: of the series,
# then of text, of the grid.
COLOURS = {
  '#2563eb': 'var(--c0)',
  '#d9480f': 'var(--c1)',
  '#0f8a5f': 'var(--c2)',
  '#a21caf': 'var(--c3)',
  '#a16207': 'var(--c4)',
  '#0e7490': 'var(--c5)',
  '#be123c': 'var(--c6)',
  '#4d5661': 'var(--c7)',
  '#676c74': 'var(--quiet)',
  '#e3e4e6': 'var(--edge)',
}
*_SERIES, _QUIET, _EDGE = COLOURS
# Different dashes keep coinciding lines visible; report.html has the same four.
DASHES = '-', '--', ':', '-.'
_PALE = 8  # more lines than these have no pale copy as logged
_LINE = 50  # characters of all categories that fit below a figure
STYLE: Any = {  # of matplotlib
  'font.size': 10,
  'legend.frameon': False,
  'svg.fonttype': 'none',  # text stays text
  'text.parse_math': False,  # names are from outside
}


class Points(NamedTuple):
  """A series; NaN where it has no value, `low` and `high` its interval."""

  x: Values
  y: Values
  low: Values | None = None
  high: Values | None = None


class Chart(NamedTuple):
  """What a figure shows.

  A `curve` is smoothed where it has many points, a `line` is not, `dots` are
  not joined. A series without points keeps its place, which is its colour.
  """

  name: str  # of its files
  title: str
  note: str  # the unit or the meaning of the values
  series: Mapping[str, Points]
  kind: Literal['curve', 'line', 'dots'] = 'curve'
  x: str = 'step'
  marks: Mapping[str, Points] = {}  # points upon the series of these names
  front: Points | None = None  # a line without a name
  categories: Sequence[str] = ()  # of x = 0, 1, ...; or x is a number
  log2: bool = False  # whether x is a power of two


def draw(ax: Axes, chart: Chart, most: int = 240) -> None:
  """Draws a chart, its curves with `most` points each."""
  ax.spines[:].set_visible(False)
  ax.grid(axis='y', color=_EDGE, linewidth=1)
  ax.tick_params(colors=_QUIET, length=0, pad=6)
  ax.set_axisbelow(True)
  ax.ticklabel_format(scilimits=(-3, 5))  # shorter labels
  if chart.x:
    ax.set_xlabel(chart.x, color=_QUIET, labelpad=3)
  for index, (name, points) in enumerate(chart.series.items()):
    if np.isfinite(points.y).any():
      _draw_series(ax, chart, index, points, most)
    if name in chart.marks:
      x, y, *_ = chart.marks[name]
      ax.plot(x, y, 'D', color=series_colour(index), clip_on=False,
              markersize=5, markeredgewidth=0)  # fmt: skip
  if chart.front:
    front = {'color': _QUIET, 'linewidth': 1, 'zorder': 1.5}
    ax.plot(chart.front.x, chart.front.y, ':', clip_on=False, **front)
  _set_limits(ax, chart)


def _draw_series(ax, chart, index, points, most) -> None:
  # Dashed lines are drawn over solid ones.
  style = {'color': series_colour(index), 'clip_on': False, 'linewidth': 1.8,
           'zorder': 2 + dash_index(index) / 10}  # fmt: skip
  dashed = style | {'linestyle': DASHES[dash_index(index)]}
  x, y, low, high = points
  if chart.kind == 'dots':
    ax.plot(x, y, 'o', markersize=5, **style)
    if low is not None and high is not None:
      ax.vlines(x, low, high, **style | {'linewidth': 1.2})
    return
  smoothed = chart.kind == 'curve' and is_smoothed(y)
  if low is not None and high is not None:
    steps, lower = downsample(x, low, most)
    _, upper = downsample(x, high, most)
    if smoothed:
      lower, upper = smooth(lower), smooth(upper)
    band = {'color': series_colour(index), 'alpha': 0.16, 'linewidth': 0}
    ax.fill_between(steps, lower, upper, clip_on=False, **band)
  x, y = downsample(x, y, most)
  if smoothed:
    if low is None and len(chart.series) <= _PALE:
      ax.plot(x, y, **dashed | {'linewidth': 1, 'alpha': 0.28})
    ax.plot(x, smooth(y), **dashed)
  else:
    size = {'marker': 'o', 'markersize': 3.6} if len(y) <= 40 else {}
    ax.plot(x, y, **dashed, **size)


def _set_limits(ax: Axes, chart: Chart) -> None:
  """Sets the ranges, whose ends in y are ticks."""
  drawn = [*chart.series.values(), *chart.marks.values()]
  ys = [a for p in drawn for a in (p.y, p.low, p.high) if a is not None]
  low, high = _range(np.concatenate(ys))
  # A scale that would start near zero starts at zero.
  low = 0.0 if 0 < low < high / 2 else low
  ticks = MaxNLocator(4).tick_values(*_padded(low, high))
  # No tick for what is hardly beyond the one before.
  near = 0.02 * (ticks[-1] - ticks[0])
  ticks = ticks[int(ticks[1] - low < near and len(ticks) > 3) :]
  ax.set_yticks(ticks)
  ax.set_ylim(ticks[0], ticks[-1])
  if chart.categories:
    crowded = len(' '.join(chart.categories)) > _LINE
    slanted: Any = dict(rotation=35, ha='right') if crowded else {}
    ax.set_xticks(range(len(chart.categories)), chart.categories, **slanted)
    ax.set_xlim(-0.5, len(chart.categories) - 0.5)
    return
  first, last = _range(np.concatenate([p.x for p in drawn]))
  if chart.log2:
    ax.set_xscale('log', base=2)
    ticks = 2 ** np.arange(np.ceil(np.log2(last)) + 1)
    ax.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
    ax.set_xlim(first, max(last, 2 * first))
    return
  room = 0.06 * (last - first) * (chart.kind == 'dots')
  ax.set_xlim(*_padded(first - room, last + room))
  ax.xaxis.set_major_locator(MaxNLocator(5, integer=chart.x == 'step'))


def _range(values: Values) -> tuple[float, float]:
  """The ends of what is finite, within what an axis can have."""
  values = np.clip(values[np.isfinite(values)], -1e300, 1e300)
  return float(values.min()), float(values.max())


def _padded(low: float, high: float) -> tuple[float, float]:
  """A range wider than rounding errors."""
  size = max(abs(low), abs(high))
  room = 0.0 if high - low > 1e-9 * size else (size or 1.0) / 2
  return low - room, high + room


def series_colour(index: int) -> str:
  """The colour of a series, one of eight."""
  return _SERIES[index % len(_SERIES)]


def css_classes(index: int) -> str:
  """The CSS classes of a series: one of eight colours and one of four dashes;
  both differ between neighbours."""
  return f'c{index % len(_SERIES)} d{dash_index(index)}'


def dash_index(index: int) -> int:
  """Which dash a series has."""
  return (index + index // len(_SERIES)) % len(DASHES)
