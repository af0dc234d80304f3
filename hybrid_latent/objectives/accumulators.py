"""Means and maxima of the parts of a batch, divided once by whoever reports."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Num


class RunningMean(NamedTuple):
  """A mean in two halves, of one part of a batch or of several stacked."""

  total: Num[Array, '*parts']  # of a mask: how often it holds
  count: Float[Array, '*parts']

  @property
  def value(self) -> Float[Array, '']:
    """The mean over all parts; 0 of nothing."""
    return self.total.sum() / jnp.maximum(self.count.sum(), 1)


class RunningMax(NamedTuple):
  """A largest value, of one part of a batch or of several stacked."""

  highest: Float[Array, '*parts']

  @property
  def value(self) -> Float[Array, '']:
    """The largest over all parts."""
    return self.highest.max()
