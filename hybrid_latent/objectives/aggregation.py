"""The aggregations of a loss per token over tokens and rows.

Their names in TRL and verl:

  here       TRL loss_type  verl loss_agg_mode
  token      dapo           token-mean
  sequence   grpo           seq-mean-token-mean
  constant   dr_grpo        seq-mean-token-sum-norm, without its / rows
  sum        luspo          seq-mean-token-sum

TRL's bnpo is 'token' over one micro-batch, so it depends on the split. Rows
without a counted token are not in the count, as in verl; in TRL they are.
"""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.base import token_mean


def sequence_mean(
  values: Float[Array, 'b t'] | Bool[Array, 'b t'], mask: Bool[Array, 'b t']
) -> RunningMean:
  """The mean over rows of the mean over a row's tokens."""
  lengths = jnp.maximum(mask.sum(-1, keepdims=True, dtype=jnp.float32), 1)
  return sequence_sum(values / lengths, mask)


def constant_mean(
  values: Float[Array, 'b t'], mask: Bool[Array, 'b t'], length: float
) -> RunningMean:
  """The mean over rows of the row's sum divided by `length`: the weight of a
  token depends neither on its row's length nor on the batch's (Dr. GRPO, arXiv
  2503.20783)."""
  return sequence_sum(values / length, mask)


def sequence_sum(
  values: Float[Array, 'b t'], mask: Bool[Array, 'b t']
) -> RunningMean:
  """The mean over rows of the sum over a row's tokens."""
  total = jnp.sum(jnp.where(mask, values, 0))
  return RunningMean(total, mask.any(-1).sum(dtype=jnp.float32))


Aggregation = Literal['token', 'sequence', 'constant', 'sum']
AGGREGATIONS: dict[str, Callable[..., RunningMean]] = {
  'token': token_mean,
  'sequence': sequence_mean,
  'constant': constant_mean,
  'sum': sequence_sum,
}
