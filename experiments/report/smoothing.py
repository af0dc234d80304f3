"""Curves of many steps: averages, fewer points, and lines that coincide."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, 't']

_FEW = 20  # a curve with fewer points shows each point and no average


def is_smoothed(values: Values) -> bool:
  """Whether a curve has enough points to be drawn as its average."""
  return bool(np.isfinite(values).sum() >= _FEW)


def smooth(values: Values) -> Values:
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


def smoothing_width(curves: Mapping[str, Any]) -> str:
  """The standard deviation of `smooth`, in steps; '' where no curve is
  smoothed."""
  widths = [
    _width(points.y) * float(np.median(np.diff(points.x)))
    for points in curves.values()
    if is_smoothed(points.y)
  ]
  ends = sorted({f'{width:.2g}' for width in widths}, key=float)
  return (
    f'{" to ".join(dict.fromkeys((ends[0], ends[-1])))} steps' if ends else ''
  )


def _width(values: Values) -> float:
  """The standard deviation of the Gaussian, in points."""
  return len(values) / 30


def identical_curves(curves: Mapping[str, Any]) -> list[list[str]]:
  """Groups of two or more series whose points are equal."""
  groups: dict[tuple[bytes, bytes], list[str]] = {}
  for name, points in curves.items():
    if np.isfinite(points.y).any():
      key = points.x.tobytes(), points.y.tobytes()
      groups.setdefault(key, []).append(name)
  return [names for names in groups.values() if len(names) > 1]


def downsample(
  steps: Values, values: Values, most: int
) -> tuple[Values, Values]:
  """At most `most` points: the means of equal parts of the curve."""
  if len(steps) <= most:
    return steps, values
  parts = np.array_split(np.arange(len(steps)), most)
  mean = [
    np.nanmean(values[i]) if np.isfinite(values[i]).any() else np.nan
    for i in parts
  ]
  return np.array([steps[i[-1]] for i in parts]), np.array(mean)
