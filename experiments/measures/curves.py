"""Measures that are a series per arm and data set: pass@k over k, and what lies
along the completions. Arms of controls are left out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hybrid_latent.measures.accuracy import grades_of
from hybrid_latent.measures.entropy import (
  entropy_around_spans,
  entropy_by_position,
)
from hybrid_latent.measures.spans import span_statistics

from ..evaluation.record import Sample
from .results import cells, pass_at_k_of


def pass_at_k_curves(samples: Sequence[Sample]) -> list[dict[str, Any]]:
  """A row per arm, data set and k, a power of two; see `pass_at_k_of`."""
  return [
    {'arm': arm, 'dataset': dataset, **point}
    for (arm, dataset), rows in _arms(samples).items()
    for point in pass_at_k_of(rows, np.array([*grades_of(rows).values()]))
  ]


def entropy_curves(samples: Sequence[Sample]) -> list[dict[str, Any]]:
  """A row per arm, data set and index of the thinking: the mean entropy of the
  completions that reach it, in nats, and their number."""
  table = []
  for (arm, dataset), rows in _arms(samples).items():
    points = zip(
      *map(np.ndarray.tolist, entropy_by_position(rows)), strict=True
    )
    table += [
      {
        **{'arm': arm, 'dataset': dataset, 'position': position},
        **{'entropy': entropy, 'completions': count},
      }
      for position, (entropy, count) in enumerate(points)
    ]
  return table


def spans(samples: Sequence[Sample]) -> list[dict[str, Any]]:
  """A row per data set and arm whose spans are between marks (HyRea): number,
  length and position of spans, the correlations of their starts with
  the entropy, and the mean entropy around them in nats."""
  return [
    {
      **{'arm': arm, 'dataset': dataset, **span_statistics(rows)},
      **{f'entropy_{k}': x for k, x in entropy_around_spans(rows).items()},
    }
    for (arm, dataset), rows in _arms(samples).items()
    if any(row['marks'] for row in rows)
  ]


def _arms(samples):
  return cells(row for row in samples if not row['control'])
