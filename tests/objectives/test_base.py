"""Means and peaks stay the same however their batch is cut."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives.accumulators import RunningMax, RunningMean
from hybrid_latent.objectives.aggregation import (
  AGGREGATIONS,
  constant_mean,
  sequence_mean,
  sequence_sum,
)
from hybrid_latent.objectives.base import lookup, token_mean

LENGTHS = np.array([5, 0, 2, 1, 3, 5])
MASK = jnp.asarray(np.arange(5) < LENGTHS[:, None])
VALUES = jnp.float32(np.random.default_rng(0).normal(size=MASK.shape))
ALL = [
  *(token_mean, sequence_mean, sequence_sum),
  partial(constant_mean, length=8),
]
# What a program left where nobody may look.
DIRTY = jnp.where(MASK, VALUES, np.nan)


@pytest.mark.parametrize('values', [VALUES, DIRTY])
def test_every_token_or_every_row_counts_the_same(values):
  mean = token_mean(values, MASK)
  np.testing.assert_allclose(mean.value, VALUES[MASK].mean(), rtol=1e-6)
  assert mean.count == LENGTHS.sum()
  rows = [v[:n].mean() for v, n in zip(VALUES, LENGTHS, strict=True) if n]
  mean = sequence_mean(values, MASK)
  np.testing.assert_allclose(mean.value, np.mean(rows), rtol=1e-6)
  assert mean.count == 5


@pytest.mark.parametrize('values', [VALUES, DIRTY])
def test_or_rows_are_summed(values):
  rows = [v[:n].sum() for v, n in zip(VALUES, LENGTHS, strict=True) if n]
  mean = sequence_sum(values, MASK)
  np.testing.assert_allclose(mean.value, np.mean(rows), rtol=1e-6)
  assert mean.count == 5
  mean = constant_mean(values, MASK, 8)
  np.testing.assert_allclose(mean.value, np.mean(rows) / 8, rtol=1e-6)
  assert mean.count == 5


@pytest.mark.parametrize('mean', ALL)
@pytest.mark.parametrize('parts', [1, 2, 3, 6])
def test_no_cut_changes_a_mean(mean, parts):
  """Micro-batches of a scan, or devices."""
  cut = lambda x: x.reshape(parts, -1, 5)
  stacked = jax.lax.map(lambda part: mean(*part), (cut(VALUES), cut(MASK)))
  assert stacked.total.shape == (parts,)
  whole = mean(VALUES, MASK)
  np.testing.assert_allclose(stacked.value, whole.value, rtol=1e-6)


def test_the_mean_of_means_would_be_another_number():
  parts = jnp.split(VALUES, 3), jnp.split(MASK, 3)
  own = [token_mean(v, m).value for v, m in zip(*parts, strict=True)]
  assert abs(np.mean(own) - token_mean(VALUES, MASK).value) > 1e-3


@pytest.mark.parametrize('parts', [1, 2, 3, 6])
def test_no_cut_changes_a_peak(parts):
  stacked = RunningMax(jnp.asarray(VALUES).reshape(parts, -1).max(axis=-1))
  assert stacked.value == VALUES.max()


@pytest.mark.parametrize('mean', ALL)
def test_the_mean_of_nothing_is_zero(mean):
  assert mean(VALUES, jnp.zeros_like(MASK)).value == 0
  assert RunningMean(jnp.float32(0), jnp.float32(0)).value == 0


def test_an_unknown_choice_lists_what_there_is():
  assert lookup('aggregation', 'sum', AGGREGATIONS) is sequence_sum
  message = "aggregation 'rows': write one of .'token', 'sequence', 'constant'"
  with pytest.raises(ValueError, match=message):
    lookup('aggregation', 'rows', AGGREGATIONS)
