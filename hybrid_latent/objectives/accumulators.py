"""Means and maxima accumulated over the parts of a batch."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Num


class RunningMean(NamedTuple):
  """A sum and its count, per part of a batch; divided once, when reported."""

  total: Num[Array, '*parts']  # of a mask: the number of True entries
  count: Float[Array, '*parts']

  @property
  def value(self) -> Float[Array, '']:
    """The mean over all parts; 0 where the count is 0."""
    # A mean of the parts' means would weigh small parts too much.
    return self.total.sum() / jnp.maximum(self.count.sum(), 1)


class RunningMax(NamedTuple):
  """A maximum, per part of a batch."""

  highest: Float[Array, '*parts']

  @property
  def value(self) -> Float[Array, '']:
    """The maximum over all parts."""
    return self.highest.max()
