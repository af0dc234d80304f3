"""Distances between the hidden states, keys or values of two views."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.base import lookup

SMALLEST_STD = 1e-6  # against division by 0 where all teacher states are equal


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
