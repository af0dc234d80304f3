"""Means that are not yet divided, so that nothing can change them.

A loss or a metric is a (total, count) pair. Micro-batches, devices and hosts
contribute totals and counts; whoever reports divides once. The mean over a
batch is then the same however the batch was cut.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Mean(NamedTuple):
  """A mean in two halves, of one part of a batch or of several stacked."""

  total: Float[Array, '*parts']
  count: Float[Array, '*parts']

  @property
  def value(self) -> Float[Array, '']:
    """The mean over all parts; 0 of nothing."""
    return self.total.sum() / jnp.maximum(self.count.sum(), 1)


class Peak(NamedTuple):
  """A largest value, of one part of a batch or of several stacked."""

  highest: Float[Array, '*parts']

  @property
  def value(self) -> Float[Array, '']:
    """The largest over all parts."""
    return self.highest.max()


def token_mean(values: Float[Array, 'b t'], mask: Bool[Array, 'b t']) -> Mean:
  """Every position counts the same (TRL 'dapo', verl 'token-mean')."""
  return Mean(jnp.sum(jnp.where(mask, values, 0)), mask.sum(dtype=jnp.float32))


def sequence_mean(
  values: Float[Array, 'b t'], mask: Bool[Array, 'b t']
) -> Mean:
  """Every row counts the same, and within it every position (TRL 'grpo', verl
  'seq-mean-token-mean'). Rows without a position do not count."""
  lengths = mask.sum(-1, dtype=jnp.float32)
  sums = jnp.sum(jnp.where(mask, values, 0), axis=-1)
  means = sums / jnp.maximum(lengths, 1)
  return Mean(means.sum(), (lengths > 0).sum(dtype=jnp.float32))
