"""The charts of evaluations, per data set: accuracy, controls, and what lies
along the completions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hybrid_latent.measures.spans import position_histogram
from hybrid_latent.measures.uncertainty import interval

from ..evaluation.record import Sample
from ..measures.results import CONTROLS, accuracies, cells, with_controls
from ..measures.tables import Table
from .charts import Chart, Points

_BINS = 20  # along a completion
_MARKS = 12  # places along the thinking at which latents are marked
_NOTHING = Points(np.zeros(0), np.zeros(0))


def evaluation_charts(
  samples: Sequence[Sample], found: Mapping[str, Table], arms: Sequence[str]
) -> list[Chart]:
  """The charts of a record; those without a value are left out.

  Args:
    samples: its rows.
    found: its tables (`measures.tables.tables`).
    arms: the series of each chart.
  """
  charts, datasets = [], list({row['dataset']: None for row in samples})
  for dataset in datasets:
    own = [row for row in samples if row['dataset'] == dataset]
    some = {
      name: [row for row in table if row.get('dataset') == dataset]
      for name, table in found.items()
    }
    for chart in (*_accuracy_charts(own, some), *_token_charts(own, some)):
      # A series without points keeps its colour.
      series = {arm: chart.series.get(arm, _NOTHING) for arm in arms}
      chart = chart._replace(series=series)
      if len(datasets) > 1:
        name, title = f'{chart.name}_{dataset}', f'{dataset}: {chart.title}'
        chart = chart._replace(name=name, title=title)
      if any(np.isfinite(points.y).any() for points in series.values()):
        charts.append(chart)
  return charts


def _accuracy_charts(
  samples: Sequence[Sample], found: Mapping[str, Table]
) -> Iterator[Chart]:
  results = [row for row in found['results'] if not row['control']]
  yield Chart(
    'accuracy_tokens',
    'Accuracy against tokens',
    '95 % interval · dotted: no arm is better in both',
    _per_arm(results, 'tokens', 'accuracy'),
    kind='dots',
    x='tokens',
    front=_front(results),
  )
  yield Chart(
    'pass_at_k',
    'pass@k',
    'share of problems · 95 % interval',
    _per_arm(found['pass_at_k'], 'k', 'pass@k'),
    kind='line',
    x='k',
    log2=True,
  )
  yield Chart(
    'controls',
    'Controls',
    'accuracy with other latents · 95 % interval',
    _controls(samples),
    kind='dots',
    x='',
    categories=('own latents', *(x.replace('_', ' ') for x in CONTROLS)),
  )


def _token_charts(
  samples: Sequence[Sample], found: Mapping[str, Table]
) -> Iterator[Chart]:
  arms = {arm: rows for (arm, _), rows in cells(samples).items()}
  yield Chart(
    'latent_share',
    'Latents along the completion',
    'mean latent share of the inputs',
    {arm: _latent_share(rows) for arm, rows in arms.items()},
    kind='line',
    x='relative position',
  )
  yield Chart(
    'span_starts',
    'Where spans begin',
    'share of the spans',
    {arm: _span_starts(rows) for arm, rows in arms.items()},
    kind='line',
    x='relative position',
  )
  marks = {arm: _latent_entropy(rows) for arm, rows in arms.items()
           if not rows[0]['control']}  # fmt: skip
  latent = any(len(points.x) for points in marks.values())
  yield Chart(
    'entropy',
    'Entropy along the thinking',
    'nats' + ' · diamonds: of latents' * latent,
    _per_arm(found['entropy'], 'position', 'entropy'),
    kind='line',
    x='token',
    marks=marks,
  )


def _per_arm(table: Table, x: str, y: str) -> dict[str, Points]:
  """Arm -> the columns x and y of its rows, with the interval that they
  have."""
  found: dict[str, list[dict]] = {}
  for row in table:
    found.setdefault(row['arm'], []).append(row)
  return {arm: _points(rows, x, y) for arm, rows in found.items()}


def _points(rows: Sequence[Mapping[str, Any]], x: str, y: str) -> Points:
  column = lambda name: np.array([row[name] for row in rows], float)
  ends = [column(name) for name in ('low', 'high') if name in rows[0]]
  return Points(column(x), column(y), *ends)


def _front(results: Table) -> Points:
  """Those that no other beats in accuracy with as few tokens, as stairs."""
  x, y = [], []
  for row in sorted(results, key=lambda r: (r['tokens'], -r['accuracy'])):
    if not y or row['accuracy'] > y[-1]:
      x += [row['tokens']] * (1 + bool(y))
      y += [*y[-1:], row['accuracy']]
  return Points(np.array(x, float), np.array(y, float))


def _controls(samples: Sequence[Sample]) -> dict[str, Points]:
  """Arm -> its accuracy with its own latents and with those of each control,
  beside those of the other arms."""
  found, pairs = {}, with_controls(samples)
  for i, (own, controls) in enumerate(pairs):
    shift = 0.5 * ((i + 0.5) / len(pairs) - 0.5)
    rows = []
    for place, name in enumerate(('', *CONTROLS)):
      if some := own if not name else controls.get(name):
        values = interval(np.array([*accuracies(some).values()]))
        rows.append(values._asdict() | {'x': place + shift})
    found[own[0]['arm']] = _points(rows, 'x', 'mean')
  return found


def _latent_share(rows: Sequence[Sample]) -> Points:
  """The mean latent share by relative position; nothing without latents."""
  values = [
    ((_BINS * i // len(inputs) + 0.5) / _BINS, share)
    for row in rows
    for inputs in [row['latent_share'][:-1]]  # the last token is no input
    for i, share in enumerate(inputs)
    if share is not None
  ]
  return _means(values) if any(share for _, share in values) else _NOTHING


def _span_starts(rows: Sequence[Sample]) -> Points:
  """The share of the spans that begin in each tenth of their completion."""
  counts = np.array([x['spans'] for x in position_histogram(rows)], float)
  if not counts.sum():
    return _NOTHING
  middles = (np.arange(len(counts)) + 0.5) / len(counts)
  return Points(middles, counts / counts.sum())


def _latent_entropy(rows: Sequence[Sample]) -> Points:
  """The mean entropy of the latents at about `_MARKS` places of the
  thinking."""
  width = max((row['thinking_tokens'] for row in rows), default=0)
  every = max(width // _MARKS, 1)
  values = [
    (i, entropy)
    for row in rows
    for i in range(0, row['thinking_tokens'], every)
    if row['latent'][i] and (entropy := row['entropy'][i]) is not None
  ]
  return _means(values)


def _means(values: Iterable[tuple[float, float]]) -> Points:
  """The mean value at each place."""
  found: dict[float, list[float]] = {}
  for place, value in values:
    found.setdefault(place, []).append(value)
  places = sorted(found)
  means = [np.mean(found[place]) for place in places]
  return Points(np.array(places, float), np.array(means, float))
