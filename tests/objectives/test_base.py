"""Means and peaks stay the same however their batch is cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives.base import (
  Mean,
  Peak,
  sequence_mean,
  token_mean,
)

LENGTHS = np.array([5, 0, 2, 1, 3, 5])
MASK = np.arange(5) < LENGTHS[:, None]
VALUES = np.random.default_rng(0).normal(size=MASK.shape).astype(np.float32)
# What a program left where nobody may look.
DIRTY = np.where(MASK, VALUES, np.nan)


@pytest.mark.parametrize('values', [VALUES, DIRTY])
def test_every_token_or_every_row_counts_the_same(values):
  mean = token_mean(values, MASK)
  np.testing.assert_allclose(mean.value, VALUES[MASK].mean(), rtol=1e-6)
  assert mean.count == LENGTHS.sum()
  rows = [v[:n].mean() for v, n in zip(VALUES, LENGTHS, strict=True) if n]
  mean = sequence_mean(values, MASK)
  np.testing.assert_allclose(mean.value, np.mean(rows), rtol=1e-6)
  assert mean.count == 5


@pytest.mark.parametrize('mean', [token_mean, sequence_mean])
@pytest.mark.parametrize('parts', [1, 2, 3, 6])
def test_no_cut_changes_a_mean(mean, parts):
  """Micro-batches of a scan, or devices."""
  cut = lambda x: x.reshape(parts, -1, 5)
  stacked = jax.lax.map(lambda part: mean(*part), (cut(VALUES), cut(MASK)))
  assert stacked.total.shape == (parts,)
  whole = mean(VALUES, MASK)
  np.testing.assert_allclose(stacked.value, whole.value, rtol=1e-6)


def test_the_mean_of_means_would_be_another_number():
  parts = np.split(VALUES, 3), np.split(MASK, 3)
  own = [token_mean(v, m).value for v, m in zip(*parts, strict=True)]
  assert abs(np.mean(own) - token_mean(VALUES, MASK).value) > 1e-3


@pytest.mark.parametrize('parts', [1, 2, 3, 6])
def test_no_cut_changes_a_peak(parts):
  stacked = Peak(jnp.asarray(VALUES).reshape(parts, -1).max(axis=-1))
  assert stacked.value == VALUES.max()


@pytest.mark.parametrize('mean', [token_mean, sequence_mean])
def test_the_mean_of_nothing_is_zero(mean):
  assert mean(VALUES, np.zeros_like(MASK)).value == 0
  assert Mean(jnp.float32(0), jnp.float32(0)).value == 0
