"""CODI's self-distillation: the states of latents towards those of a text.

The paper (Shen et al., arXiv 2502.21074, equation 4) trains the student's
hidden state of each layer, at the token before the answer, towards the
teacher's at the same token. Both views are one batch of `curricula.codi`. The
distance is smooth L1 over the standard deviation of the teacher's states, as
in zhenyi4/codi, which has L2 as an option. The loss is the sum of the
cross-entropies of both views and of `weight` times the mean over layers.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.distances import layer_distances
from hybrid_latent.objectives.supervised import SupervisedInputs, target_loss
from hybrid_latent.ranges import NonNegativeFloat
from hybrid_latent.types import TokenBatch


def self_distillation(
  inputs: SupervisedInputs,
  *,
  weight: NonNegativeFloat = 1.0,
  loss_type: Literal['smooth_l1', 'l2'] = 'smooth_l1',
  div_std: bool = True,
) -> tuple[RunningMean, dict[str, RunningMean]]:
  """The cross-entropy plus `weight` times the distance between hidden states.

  Args:
    loss_type: distance between hidden states.
    div_std: divides the distance by the standard deviation of the teacher's
      states, of a slice of the batch.
  """
  positions, paired = _align_positions(inputs.texts)
  hidden, states = inputs.policy.model.layer_states(
    inputs.x, *inputs.layout, positions
  )
  gaps = layer_distances(
    states[:, :, 0], states[:, :, 1], paired, kind=loss_type, scaled=div_std
  )
  gaps /= inputs.slices
  loss, metrics = target_loss(inputs, hidden)
  layers = {f'distillation/{i}': inputs.mean(gap) for i, gap in enumerate(gaps)}
  return inputs.mean(weight * gaps.mean() + loss), metrics | layers


def _align_positions(
  texts: TokenBatch,
) -> tuple[Int[Array, 'b 2'], Bool[Array, 'b']]:
  """The positions at which the two views of a row are compared, and whether the
  row has both."""
  at = [texts.align_position & (texts.view == view) for view in (0, 1)]
  positions = jnp.stack([jnp.argmax(x, axis=1) for x in at], axis=1)
  return positions, (at[0] | at[1]).sum(1) == 2
