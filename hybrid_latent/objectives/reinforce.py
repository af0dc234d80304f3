"""HRPO's loss, which is also GRPO's when every update is on-policy.

"Hybrid Latent Reasoning via Reinforcement Learning", arXiv 2505.18454,
equation 6 as released: per token
  -(exp(logp - sg(logp)) * A - beta * k3(logp, reference))
averaged over each sequence, then over sequences. No ratio to an older policy,
hence no clipping: the trajectories must come from the very weights that are
updated. A hybrid trajectory makes that more than a preference: its recorded
latents were made by those weights, and are inputs of the loss.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.base import Mean, sequence_mean
from hybrid_latent.objectives.kl import k3


def reinforce(
  log_probs: Float[Array, 'b t'],
  reference: Float[Array, 'b t'] | None,
  advantages: Float[Array, 'b'],
  mask: Bool[Array, 'b t'],
  *,
  beta: float = 0.005,
) -> tuple[Mean, dict[str, Mean]]:
  """The loss and its parts.

  `log_probs` carry the gradient, d loss / d log_probs = mask / length / rows *
  (-A + beta (1 - exp(reference - log_probs))). `reference` may be None where
  beta is 0.
  """
  ratio = jnp.exp(log_probs - jax.lax.stop_gradient(log_probs))
  loss = -ratio * advantages[:, None]
  parts = {}
  if reference is not None:
    kl = k3(log_probs, reference)
    loss = loss + beta * kl
    parts['kl'] = sequence_mean(kl, mask)
  return sequence_mean(loss, mask), parts
