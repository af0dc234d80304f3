"""A chart as SVG text for the page, without scripts.

Its colours are variables of the page's style sheet, so it follows the dark
mode; a strip under the pointer shows the values there, by CSS alone.
"""

import html
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .charts import COLOURS, STYLE, Chart, Points, draw

_WIDTH, _HEIGHT = 400, 232  # pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 16, 40
_ROWS = 12  # series that a readout has at most
_NAME = 28  # characters of a name there


def svg(chart: Chart, points: int = 240, readouts: int = 40) -> str:
  """The chart, its curves with `points` points each and values to read at
  about `readouts` places."""
  figure = Figure((_WIDTH / 72, _HEIGHT / 72), dpi=72)
  left, bottom = _LEFT / _WIDTH, _BOTTOM / _HEIGHT
  size = 1 - left - _RIGHT / _WIDTH, 1 - bottom - _TOP / _HEIGHT
  text = io.StringIO()
  with rc_context(STYLE | {'svg.hashsalt': ascii(chart.name)}):
    ax = figure.add_axes((left, bottom, *size))
    draw(ax, chart, points)
    figure.savefig(text, format='svg')
  return (
    f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    f'aria-label="{html.escape(chart.title)}">{_inside(text.getvalue())}'
    f'{"".join(_readouts(ax, chart, readouts))}</svg>'
  )


def _inside(text: str) -> str:
  """What matplotlib drew, without its fonts, backgrounds, and with the colours
  of the page."""
  root = ET.fromstring(text)
  for parent in list(root.iter()):
    parent.tag = parent.tag.rpartition('}')[2]
    for child in list(parent):
      if child.tag.endswith(('metadata', '}style')) or _is_background(child):
        parent.remove(child)
    for name, value in list(parent.attrib.items()):
      del parent.attrib[name]
      short = name.rpartition('}')[2]
      if short == 'style':
        value = _style(value)
      elif (short, parent.tag) == ('id', 'g') or 'rotate(-0' in value:
        continue
      elif short in ('d', 'x', 'y'):
        value = re.sub(r'(\.\d)\d+|\s*\n', r'\1', value)
      if value:
        parent.set(short, value)
    parent.text, parent.tail = (parent.text or '').strip(), ''
  return ''.join(ET.tostring(child, 'unicode') for child in root)


def _is_background(element: ET.Element) -> bool:
  return 'fill: #ffffff' in ''.join(x.get('style', '') for x in element)


def _style(text: str) -> str:
  """The declarations that the page's style sheet does not make."""
  kept = [x for x in text.split('; ') if x and not x.startswith('font')]
  style = ';'.join(x.replace(': ', ':') for x in kept)
  return re.sub('#[0-9a-f]{6}', lambda x: COLOURS.get(x[0], x[0]), style)


def _readouts(ax: Axes, chart: Chart, most: int) -> Iterator[str]:
  """Strips over the chart; each shows its values under the pointer."""
  right = _WIDTH - _RIGHT
  edges = np.linspace(_LEFT, right, most + 1)
  drawn = [(i, name, _pixels(ax, p), p)
           for i, (name, p) in enumerate(chart.series.items())]  # fmt: skip
  places = np.unique(np.concatenate([xy[:, 0].round(1) for *_, xy, _ in drawn]))
  places = places[np.isfinite(places)]
  if len(places) <= most:
    middles = (places[1:] + places[:-1]) / 2
    edges = np.concatenate([[_LEFT], middles, [right]])
  for start, end in pairwise(edges):
    rows = []
    for index, name, xy, points in drawn:
      distance = np.abs(xy[:, 0] - (start + end) / 2)
      distance = np.where(np.isfinite(xy[:, 1]), distance, np.inf)
      if distance.min(initial=np.inf) <= max((end - start) / 2, 2):
        i = int(distance.argmin())
        rows.append((index, f'{name[:_NAME]} {_value(points, i)}', *xy[i],
                     points.x[i]))  # fmt: skip
    if rows:
      yield (
        f'<g class="band"><rect x="{start:.1f}" y="{_TOP}" '
        f'width="{end - start:.1f}" height="{_HEIGHT - _TOP - _BOTTOM}"/>'
        f'{_readout(chart, rows)}</g>'
      )


def _pixels(ax: Axes, points: Points) -> np.ndarray:
  """Places [t, 2] in the chart."""
  xy = ax.transData.transform(np.stack([points.x, points.y], -1))
  return np.stack([xy[:, 0], _HEIGHT - xy[:, 1]], -1)


def _value(points: Points, i: int) -> str:
  text = f'{points.y[i]:.4g}'
  if points.low is None or points.high is None or np.isnan(points.low[i]):
    return text
  return f'{text} ({points.low[i]:.3g} to {points.high[i]:.3g})'


def _readout(chart: Chart, rows: list[tuple]) -> str:
  """A rule, a dot on each line, and a box with the numbers."""
  x, at = rows[0][2], rows[0][4]
  names = dict(enumerate(chart.categories))
  texts = [names.get(round(at), f'{chart.x} {at:.6g}')]
  shown = rows[:_ROWS]
  dots = ''.join(
    f'<circle class="c{i % 8}" cx="{cx:.1f}" cy="{cy:.1f}" r="3"/>'
    for i, _, cx, cy, _ in shown
  )
  texts += [text for _, text, *_ in shown]
  texts += [f'and {len(rows) - _ROWS} more'] * (len(rows) > _ROWS)
  classes: list[str] = [
    '',
    *(f' class="c{i % 8}"' for i, *_ in shown),
    '',
  ]
  width, height = 6.4 * max(map(len, texts)) + 12, 14 * len(texts) + 8
  left = x - width - 8 if x > _WIDTH / 2 else x + 8
  left = min(max(left, 0), max(_WIDTH - width, 0))
  lines = ''.join(
    f'<text x="{left + 6:.1f}" y="{_TOP + 14 * (i + 1)}"{klass}>'
    f'{html.escape(text)}</text>'
    for i, (text, klass) in enumerate(zip(texts, classes, strict=False))
  )
  return (
    f'<g><path class="rule" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>{dots}'
    f'<rect class="box" x="{left:.1f}" y="{_TOP}" width="{width:.1f}" '
    f'height="{height}" rx="3"/>{lines}</g>'
  )
