"""The charts of training: one per metric, over the steps of the runs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .charts import Chart, Points
from .smoothing import identical_curves, smoothing_width
from .tables import Run

_Curve = tuple[str, str, str]  # metric, title, unit or meaning

_ACCURACY = 'eval/accuracy', 'Accuracy', 'share of test problems'
_CURVES = (
  ('reward', 'Reward', 'mean over completions'),
  ('reward/mean', 'Reward', 'mean over completions'),
  ('hidden_ratio', 'Latent share', 'of what the model reads, 0 to 1'),
  ('completions/mean_length', 'Completion length', 'tokens'),
  ('entropy', 'Entropy', 'nats per token'),
  ('kl', 'KL to the reference', 'nats per token'),
  ('loss', 'Loss', 'what the optimizer minimizes'),
)


class Curves(NamedTuple):
  """The charts of all metrics that are no times."""

  first: list[Chart]
  more: list[Chart]
  constant: dict[str, float]  # metrics that have one value in all runs


def training_curves(
  metrics: Mapping[str, Run], groups: Mapping[str, Sequence[str]]
) -> Curves:
  """The charts of a page.

  Args:
    metrics: run -> the rows of its metrics.jsonl.
    groups: series -> its runs, of which it has the mean; see
      `run_folders.seed_groups`.
  """
  values: dict[str, set] = {}
  for name, value in (
    x for run in metrics.values() for r in run for x in r.items()
  ):
    values.setdefault(name, set()).add(value)
  first = first_curves(values)
  shown = {'step', *(curve[0] for curve in first), *map(_evaluated, values)}
  others = [
    name
    for name in sorted(values.keys() - shown)
    if not name.startswith('time/')
  ]
  constant = {
    name: value
    for name in others
    if len(values[name]) == 1
    for value in values[name]
    if value is not None
  }
  charts = lambda curves: [
    chart
    for curve in curves
    if (chart := _chart(metrics, groups, *curve)) is not None
  ]
  more = [(name, name, '') for name in others if name not in constant]
  return Curves(charts(first), charts(more), constant)


def first_curves(metrics: Iterable[str]) -> list[_Curve]:
  """The first charts of a page, of which runs may have some; all other
  `metrics` follow under "More metrics"."""
  accuracies = [
    (name, f'Accuracy on {benchmark[1]}', 'share of test problems')
    for name in sorted({*metrics})
    if (benchmark := re.fullmatch('eval/([^/]+)/accuracy', name))
  ]
  return [_ACCURACY, *accuracies, *_CURVES]


def _chart(metrics, groups, metric, title, note) -> Chart | None:
  """None where no run has a number of this metric."""
  curves = {
    label: _mean([_points(metrics[run], metric) for run in runs])
    for label, runs in groups.items()
  }
  if not any(np.isfinite(points.y).any() for points in curves.values()):
    return None
  marks = {
    label: _mean([_points(metrics[run], _evaluated(metric)) for run in runs])
    for label, runs in groups.items()
  }
  marks = {n: points for n, points in marks.items() if len(points.x)}
  remarks = [note] * bool(note)
  remarks += [
    f'the same line: {", ".join(x)}' for x in identical_curves(curves)
  ]
  if steps := smoothing_width(curves):
    remarks.append(f'smoothed, σ = {steps}')
  if any(points.low is not None for points in curves.values()):
    remarks.append('mean and standard error over seeds')
  remarks += ['diamonds: evaluations'] * bool(marks)
  return Chart(metric, title, ' · '.join(remarks), curves, marks=marks)


def _evaluated(metric: str) -> str:
  """The metric of evaluations that a metric of training steps has; it is drawn
  as marks on the curve."""
  reward = re.fullmatch('rewards/(.*)/mean', metric)
  return f'eval/{reward[1] if reward else metric}'


def _points(rows: Run, metric: str) -> dict[int, float]:
  """Step -> value; null is NaN."""
  return {
    row['step']: np.nan if row[metric] is None else row[metric]
    for row in rows
    if metric in row
  }


def _mean(runs: Sequence[Mapping[int, float]]) -> Points:
  """The mean of one or more runs and, of more, its standard error as band."""
  steps = sorted({step for run in runs for step in run})
  values = np.array([[run.get(s, np.nan) for s in steps] for run in runs])
  values = values.reshape(len(runs), -1).astype(float)
  finite = np.isfinite(values)
  count = finite.sum(0)
  total = np.where(finite, values, 0).sum(0)
  mean = np.divide(total, count, np.full(len(steps), np.nan), where=count > 0)
  if len(runs) == 1:
    return Points(np.array(steps, float), mean)
  squares = np.where(finite, (values - mean) ** 2, 0).sum(0)
  error = np.full(len(steps), np.nan)
  several = count > 1
  n = count[several]
  error[several] = np.sqrt(squares[several] / (n - 1) / n)
  return Points(np.array(steps, float), mean, mean - error, mean + error)
