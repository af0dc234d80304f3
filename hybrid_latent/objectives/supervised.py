"""Cross-entropy of given texts, and the self-distillation of CODI.

`loss_weights` is the mean over targets, as in transformers and TRL (over the
whole batch, not per device), with a weight per target: HyRea (ICLR 2026) weighs
a switch token four times. `layer_distances` is the distillation of CODI (arXiv
2502.21074, equation 4).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.aggregation import (
  AGGREGATIONS,
  Aggregation,
)
from hybrid_latent.objectives.base import (
  LossInputs,
  lookup,
)
from hybrid_latent.types import TokenBatch

SMALLEST_STD = 1e-6  # against division by 0 where all teacher states are equal


def cross_entropy(
  inputs: LossInputs, *, aggregation: Aggregation = 'token'
) -> tuple[RunningMean, dict[str, RunningMean]]:
  """The cross-entropy in nats, with the aggregations of aggregation.py."""
  mean = lookup('aggregation', aggregation, AGGREGATIONS)
  return mean(-inputs.log_probs, inputs.loss_mask), {}


def loss_weights(texts: TokenBatch) -> Float[Array, 'b t']:
  """The weight of each token in the batch's loss: the weighted mean over the
  targets of view 0, plus that over the targets of view 1."""
  target = texts.weights > 0
  count = lambda view: jnp.maximum(jnp.sum(target & (texts.view == view)), 1)
  return texts.weights / jnp.where(texts.view == 0, count(0), count(1))


def layer_distances(
  student: Float[Array, 'm b d'],
  teacher: Float[Array, 'm b d'],
  valid: Bool[Array, 'b'],
  *,
  kind: str = 'smooth_l1',
  scaled: bool = True,
) -> Float[Array, 'm']:
  """The distance of the student's hidden states to the teacher's per layer.

  The mean over states and channels of smooth L1 (beta 1), divided by the
  standard deviation of the teacher's states in that layer (unbiased, over all
  channels); with 'l2', of the squared difference divided by the variance. No
  division unless `scaled`. The teacher's states have no gradient.
  """
  # In float32: bfloat16 has too few digits for the variance.
  student = student.astype(jnp.float32)
  teacher = jax.lax.stop_gradient(teacher).astype(jnp.float32)
  keep = jnp.broadcast_to(valid[None, :, None], teacher.shape)
  deviation = jnp.std(teacher, axis=(1, 2), ddof=1, where=keep)
  deviation = jnp.maximum(deviation, SMALLEST_STD) if scaled else jnp.ones(1)
  gap = jnp.abs(student - teacher)
  losses = {
    'smooth_l1': jnp.where(gap < 1, gap**2 / 2, gap - 0.5),
    # Divided once more at the end: by the variance in all.
    'l2': gap**2 / deviation[:, None, None],
  }
  loss = lookup('distillation kind', kind, losses)
  return jnp.mean(loss, axis=(1, 2), where=keep) / deviation
