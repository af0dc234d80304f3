"""Line charts as SVG text: no script, colours from the page's style sheet.

A chart is sharp at any size, follows the page's dark mode, and shows the values
of a step while the pointer is over it (by CSS alone).
"""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, ScalarFormatter

Series = tuple[np.ndarray, np.ndarray]  # steps, values (NaN: none)

# Different dashes keep coinciding lines visible; report.html has the same four.
DASHES = '-', '--', ':', '-.'
_WIDTH, _HEIGHT = 400, 216
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 16, 24
_POINTS = 240  # of a line at most: one per two pixels
_BANDS = 40  # strips that react to the pointer
_FEW = 20  # a line with fewer points shows each point and no average


def line_chart(series: Mapping[str, Series], label: str) -> str:
  """One line per run, with its smoothed curve where there are enough points.

  Args:
    series: run -> (steps [t], values [t]).
    label: the name of the values, for screen readers.
  """
  frame = _Frame(series)
  # Dashed lines are drawn over solid ones.
  order = sorted(range(len(series)), key=dash_index)
  curves = [*series.values()]
  lines = [_line(frame, index, *curves[index]) for index in order]
  return (
    f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    f'aria-label="{html.escape(label)}">'
    f'{frame.axes()}{"".join(lines)}{_bands(frame, series)}</svg>'
  )


def identical_curves(series: Mapping[str, Series]) -> list[list[str]]:
  """Groups of two or more runs whose lines are equal."""
  groups: dict[tuple[bytes, bytes], list[str]] = {}
  for name, (steps, values) in series.items():
    if np.isfinite(values).any():
      groups.setdefault((steps.tobytes(), values.tobytes()), []).append(name)
  return [names for names in groups.values() if len(names) > 1]


def smoothing_width(series: Mapping[str, Series]) -> str:
  """The standard deviation of `smooth`, in steps; '' where no line is
  smoothed."""
  widths = [
    _width(values) * float(np.median(np.diff(steps)))
    for steps, values in series.values()
    if np.isfinite(values).sum() >= _FEW
  ]
  ends = sorted({f'{width:.2g}' for width in widths}, key=float)
  return (
    f'{" to ".join(dict.fromkeys((ends[0], ends[-1])))} steps' if ends else ''
  )


def smooth(values: np.ndarray) -> np.ndarray:
  """The values under a Gaussian kernel whose standard deviation is a thirtieth
  of the curve; centred, so that it does not lag. NaN has no weight."""
  width = max(_width(values), 1e-3)
  distance = np.subtract.outer(np.arange(len(values)), np.arange(len(values)))
  kernel = np.exp(-0.5 * (distance / width) ** 2)
  finite = np.isfinite(values)
  total = kernel @ np.where(finite, values, 0)
  return np.divide(
    total, kernel @ finite, np.full_like(total, np.nan), where=finite
  )


def _width(values: np.ndarray) -> float:
  """The standard deviation of the Gaussian, in points."""
  return len(values) / 30


def downsample(steps: np.ndarray, values: np.ndarray) -> Series:
  """At most `_POINTS` points: the means of equal parts of the curve."""
  if len(steps) <= _POINTS:
    return steps, values
  parts = np.array_split(np.arange(len(steps)), _POINTS)
  mean = [
    np.nanmean(values[i]) if np.isfinite(values[i]).any() else np.nan
    for i in parts
  ]
  return np.array([steps[i[-1]] for i in parts]), np.array(mean)


class _Frame:
  """Maps data to the chart's pixels."""

  def __init__(self, series: Mapping[str, Series]):
    steps = np.concatenate([line[0] for line in series.values()])
    values = np.concatenate([line[1] for line in series.values()])
    values = values[np.isfinite(values)]
    self.x = _padded(steps.min(), steps.max())
    low, high = values.min(), values.max()
    # A scale that would start near zero starts at zero.
    low = 0.0 if 0 < low < high / 2 else low
    self.y_ticks = np.array(MaxNLocator(4).tick_values(*_padded(low, high)))
    self.y = self.y_ticks[0], self.y_ticks[-1]

  def at(self, step: float, value: float) -> tuple[float, float]:
    inner = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    x = (step - self.x[0]) / (self.x[1] - self.x[0])
    y = (value - self.y[0]) / (self.y[1] - self.y[0])
    return _LEFT + x * inner[0], _TOP + (1 - y) * inner[1]

  def axes(self) -> str:
    labels, offset = _labels(self.y_ticks)
    parts = [f'<text x="{_LEFT - 40}" y="8">{offset}</text>' * bool(offset)]
    for tick, label in zip(self.y_ticks, labels, strict=True):
      _, y = self.at(self.x[0], tick)
      parts.append(
        f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">'
        f'{label}</text>'
      )
    ticks = np.array(MaxNLocator(5, integer=True).tick_values(*self.x))
    for tick in ticks[(ticks >= self.x[0]) & (ticks <= self.x[1])]:
      x, _ = self.at(tick, self.y[0])
      parts.append(
        f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f'{tick:.0f}</text>'
      )
    return ''.join(parts)


def _labels(ticks: np.ndarray) -> tuple[list[str], str]:
  """Labels that differ where the ticks do, and the offset or the factor of
  all."""
  formatter = ScalarFormatter(useMathText=False)
  formatter.create_dummy_axis()
  axis: Any = formatter.axis
  axis.set_view_interval(ticks[0], ticks[-1])
  labels = formatter.format_ticks(list(ticks))
  return labels, formatter.get_offset()


def _padded(low: float, high: float) -> tuple[float, float]:
  """A range wider than rounding errors."""
  size = max(abs(low), abs(high))
  room = 0.0 if high - low > 1e-9 * size else (size or 1.0) / 2
  return low - room, high + room


def _line(frame, index, steps, values) -> str:
  if np.isfinite(values).sum() < _FEW:
    dots = ''.join(
      '<circle cx="{:.1f}" cy="{:.1f}" r="2.2"/>'.format(*frame.at(s, v))
      for s, v in zip(steps, values, strict=True)
      if np.isfinite(v)
    )
    raw, average = '', f'{_path(frame, steps, values)}{dots}'
  else:
    raw = _path(frame, steps, values)
    average = _path(frame, steps, smooth(values))
  return (
    f'<g class="{css_classes(index)}"><g class="raw">{raw}</g>{average}</g>'
  )


def css_classes(index: int) -> str:
  """The CSS classes of a run's curve: one of eight colours and one of four
  dashes; both differ between neighbours."""
  return f'c{index % 8} d{dash_index(index)}'


def dash_index(index: int) -> int:
  """The index in DASHES of a run."""
  return (index + index // 8) % 4


def _path(frame, steps, values) -> str:
  parts, pen = [], 'M'
  for step, value in zip(steps, values, strict=True):
    if np.isfinite(value):
      parts.append('{}{:.1f} {:.1f}'.format(pen, *frame.at(step, value)))
    pen = 'L' if np.isfinite(value) else 'M'
  return f'<path class="line" d="{"".join(parts)}"/>'


def _bands(frame: _Frame, series: Mapping[str, Series]) -> str:
  """Invisible strips over the chart; each shows its values under the
  pointer."""
  edges = np.linspace(_LEFT, _WIDTH - _RIGHT, _BANDS + 1)
  width = edges[1] - edges[0]
  parts = []
  for left in edges[:-1]:
    middle = left + width / 2
    rows = [
      (index, name, *near)
      for index, (name, (steps, values)) in enumerate(series.items())
      if (near := _nearest(frame, steps, values, middle)) is not None
    ]
    if rows:
      parts.append(
        f'<g class="band"><rect x="{left:.1f}" y="{_TOP}" '
        f'width="{width:.1f}" height="{_HEIGHT - _TOP - _BOTTOM}"/>'
        f'{_readout(frame, rows)}</g>'
      )
  return ''.join(parts)


def _nearest(frame, steps, values, x) -> tuple[float, float] | None:
  """The (step, value) of a line nearest to the pixel column `x`; None where it
  has none near it."""
  finite = np.isfinite(values)
  if not finite.any():
    return None
  steps, values = steps[finite], values[finite]
  distance = np.abs(frame.at(steps, 0)[0] - x)
  i = distance.argmin()
  near = distance[i] < (_WIDTH - _LEFT - _RIGHT) / 20
  return (steps[i], values[i]) if near else None


def _readout(frame, rows) -> str:
  """A rule, a dot on each line, and a box with the numbers."""
  x = frame.at(rows[0][2], 0)[0]
  dots = ''.join(
    '<circle class="c{}" cx="{:.1f}" cy="{:.1f}" r="3"/>'.format(
      index % 8, *frame.at(step, value)
    )
    for index, _, step, value in rows
  )
  texts = [f'step {rows[0][2]:g}'] + [
    f'{name[:28]} {value:.4g}' for _, name, _, value in rows
  ]
  width, height = 6.1 * max(map(len, texts)) + 12, 14 * len(texts) + 8
  left = x - width - 8 if x > _WIDTH / 2 else x + 8
  classes = ['', *(f' class="c{index % 8}"' for index, *_ in rows)]
  lines = ''.join(
    f'<text x="{left + 6:.1f}" y="{_TOP + 14 * (i + 1):.1f}"{klass}>'
    f'{html.escape(text)}</text>'
    for i, (text, klass) in enumerate(zip(texts, classes, strict=True))
  )
  return (
    f'<g><path class="rule" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>{dots}'
    f'<rect class="box" x="{left:.1f}" y="{_TOP}" width="{width:.1f}" '
    f'height="{height}" rx="3"/>{lines}</g>'
  )
