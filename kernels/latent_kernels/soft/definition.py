"""The soft embedding's definition, and the gradient of all fast forms."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class SoftEmbedding(NamedTuple):
  """The embedding of a distribution over tokens, and that distribution's sums.

  With z = logits / temperature and p = softmax(z). HRPO's projected state
  (arXiv 2505.18454, eq. 4 as released) is `mixture / l2[..., None]`.
  """

  mixture: Float[Array, '*b d']  # the expected row of the table, p @ table
  log_sum_exp: Float[Array, '*b']  # of z, so log p = z - log_sum_exp
  l2: Float[Array, '*b']  # ||p||_2, from 1/sqrt(tokens with p > 0) up to 1


def reference(
  scaled_logits: Float[Array, '*b v'], table: Float[Array, 'v d']
) -> SoftEmbedding:
  """The definition."""
  p = jax.nn.softmax(scaled_logits, axis=-1)
  return SoftEmbedding(
    mixture=jnp.dot(p, table.astype(p.dtype)),
    log_sum_exp=jax.nn.logsumexp(scaled_logits, axis=-1),
    l2=jnp.linalg.norm(p, axis=-1),
  )


def scaled_logits_gradient(
  p: Float[Array, 'n c'],
  projected: Float[Array, 'n c'],
  out: SoftEmbedding,
  cotangent: SoftEmbedding,
) -> Float[Array, 'n c']:
  """The gradient to z [n c], for any c of the v columns of p = softmax(z).

  With g the cotangent of the mixture, `projected` = g @ table[c].T:

    dz = p * (projected - g.mixture  +  g_lse  +  g_l2 * (p / l2 - l2))

  since d lse / dz_v = p_v, and from dp_u / dz_v = p_u (1[u=v] - p_v)
  d l2 / dz_v = sum_u (p_u / l2) dp_u / dz_v = p_v (p_v / l2 - l2).
  """
  expected = jnp.sum(cotangent.mixture * out.mixture, axis=-1)
  constant = cotangent.log_sum_exp - expected - cotangent.l2 * out.l2
  slope = cotangent.l2 / out.l2
  return p * (projected + constant[:, None] + slope[:, None] * p)
