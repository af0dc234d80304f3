"""CoLaR's supervised loss: tokens, and the next compressed embedding.

"Think Silently, Think Fast", Tan et al., arXiv 2505.16552; as released
(xiaomi-research/colar, colar.py), for texts of `curricula.colar`. The latent
head of `feedback.colar` is trained towards the embedding that is read next, by
its likelihood ('nll') or by the squared error of a sample ('mse'). Here the
latter is its expectation over samples, (mu - x)^2 + sigma^2, and the
cross-entropy of one token of a group, drawn at random, its expectation over
tokens. Both losses are means over the targets of a batch; in the release that
of the head is over latents alone.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from hybrid_latent.feedback.colar import latent_distribution, log_density
from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.base import lookup, token_mean
from hybrid_latent.objectives.supervised import SupervisedInputs, target_loss
from hybrid_latent.ranges import NonNegativeFloat


def colar(
  inputs: SupervisedInputs,
  *,
  weight: NonNegativeFloat = 1.0,
  loss_type: Literal['nll', 'mse'] = 'mse',
) -> tuple[RunningMean, dict[str, RunningMean]]:
  """The cross-entropy plus `weight` times the loss of the latent head, whose
  targets are the inputs at the align positions of the texts."""
  hidden, _ = inputs.policy.forward(inputs.x, None, *inputs.layout)
  loss, metrics = target_loss(inputs, hidden)
  previous = jnp.roll(hidden, 1, axis=1)
  mean, log_std, scale = latent_distribution(inputs.policy, previous)
  x = jax.lax.stop_gradient(inputs.x).astype(jnp.float32) / scale
  squared = (mean - x) ** 2 + jnp.exp(2 * log_std)
  gaps = lookup(
    'loss_type',
    loss_type,
    {'nll': -log_density(x, mean, log_std), 'mse': jnp.mean(squared, axis=-1)},
  )
  latents = inputs.texts.align_position
  total = jnp.sum(jnp.where(latents, inputs.loss_weights * gaps, 0))
  metrics |= {'embedding_loss': token_mean(gaps, latents)}
  return inputs.mean(loss + weight * total), metrics
