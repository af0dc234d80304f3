"""Cross-entropy of given texts, and what two texts are to know alike.

`loss_weights` is the plain mean over targets, as in transformers and TRL (over
all of a batch, not over the part of a device), with a weight for each: HyRea
(ICLR 2026) counts a switch token four times. `layer_distances` is the alignment
of CODI (arXiv 2502.21074, equation 4).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.base import (
  AGGREGATIONS,
  Aggregation,
  LossInputs,
  lookup,
)
from hybrid_latent.types import TokenBatch

SMALLEST_STD = 1e-6  # a layer on which all teachers agree says nothing


def cross_entropy(
  inputs: LossInputs, *, aggregation: Aggregation = 'token'
) -> tuple[RunningMean, dict[str, RunningMean]]:
  """The loss of answers that are given, in nats; `aggregation` is that of a
  policy gradient."""
  mean = lookup('aggregation', aggregation, AGGREGATIONS)
  return mean(-inputs.log_probs, inputs.loss_mask), {}


def loss_weights(texts: TokenBatch) -> Float[Array, 'b t']:
  """How much of a batch's loss each token is: the weighted mean over the
  targets of first texts, plus that over the targets of second ones."""
  target = texts.weights > 0
  count = lambda part: jnp.maximum(jnp.sum(target & (texts.view == part)), 1)
  return texts.weights / jnp.where(texts.view == 0, count(0), count(1))


def layer_distances(
  student: Float[Array, 'm b d'],
  teacher: Float[Array, 'm b d'],
  valid: Bool[Array, 'b'],
  *,
  kind: str = 'smooth_l1',
  scaled: bool = True,
) -> Float[Array, 'm']:
  """How far the student's states are from the teacher's at each depth.

  The mean over states and channels of smooth L1 (beta 1) over the standard
  deviation of all the teacher's channels at that depth (unbiased), or for
  'l2' of the square over the variance; without any division where not `scaled`.
  No gradient reaches the teacher.
  """
  student = student.astype(jnp.float32)
  teacher = jax.lax.stop_gradient(teacher).astype(jnp.float32)
  keep = jnp.broadcast_to(valid[None, :, None], teacher.shape)
  deviation = jnp.std(teacher, axis=(1, 2), ddof=1, where=keep)
  deviation = jnp.maximum(deviation, SMALLEST_STD) if scaled else jnp.ones(1)
  gap = jnp.abs(student - teacher)
  losses = {
    'smooth_l1': jnp.where(gap < 1, gap**2 / 2, gap - 0.5),
    'l2': gap**2 / deviation[:, None, None],
  }
  loss = lookup('distillation kind', kind, losses)
  return jnp.mean(loss, axis=(1, 2), where=keep) / deviation
