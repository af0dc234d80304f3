"""From the rewards of a group to the advantage of each member."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def group_advantages(
  rewards: Float[Array, 'b'], group: int, *, eps: float = 1e-4
) -> Float[Array, 'b']:
  """(r - mean) / (std + eps) over each run of `group` rows, with the unbiased
  standard deviation (GRPO, arXiv 2402.03300, as TRL computes it).

  NaN marks a completion that could not be graded: it is left out of its
  group's statistics and its advantage is 0. A group with fewer than two grades
  has no spread, and advantage 0 throughout.
  """
  if group < 2 or rewards.shape[0] % group:
    raise ValueError(
      f'group_advantages: {rewards.shape[0]} rewards in groups of {group}: '
      'a group needs at least 2 rows and the rows must be whole groups'
    )
  r = rewards.reshape(-1, group)
  graded = ~jnp.isnan(r)
  # So that equal rewards have advantage 0, however their sum is rounded.
  r -= jnp.nanmin(r, axis=-1, keepdims=True)
  n = graded.sum(-1, keepdims=True)
  total = lambda x: jnp.sum(jnp.where(graded, x, 0), -1, keepdims=True)
  centred = r - total(r) / jnp.maximum(n, 1)
  std = jnp.sqrt(total(centred**2) / jnp.maximum(n - 1, 1))
  return jnp.where(graded, centred / (std + eps), 0).reshape(-1)
