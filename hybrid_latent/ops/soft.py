"""The expected embedding of a filtered distribution over tokens."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hybrid_latent.ops.sampling import Likeliest, likeliest
from latent_kernels import SoftEmbedding, soft_embedding, vocabulary_attention


def filtered_soft_embedding(
  logits: Float[Array, 'b v'],
  table: Float[Array, 'v d'],
  known: Likeliest | None = None,
  *,
  width: int,
) -> SoftEmbedding:
  """`soft_embedding(logits, table)`, float32, where most logits may be -inf;
  `known` of them are the likeliest tokens.

  Where no row keeps more than `width` tokens (static; 0: no such check), only
  their rows of the table are gathered: with HRPO's top-k 50 the mixture then
  costs 64 rows instead of a pass over the vocabulary. The result is the same.
  """
  full = lambda logits: soft_embedding(logits, table)
  if not 0 < width < logits.shape[-1]:
    return full(logits)
  sparse = lambda logits: top_soft_embedding(logits, table, known, width=width)
  kept = jnp.sum(logits > -jnp.inf, axis=-1)
  return jax.lax.cond(jnp.max(kept) <= width, sparse, full, logits)


def top_soft_embedding(
  logits: Float[Array, 'b v'],
  table: Float[Array, 'v d'],
  known: Likeliest | None = None,
  *,
  width: int,
) -> SoftEmbedding:
  """`soft_embedding` of the `width` (static) likeliest tokens of each row, or
  of all if there are fewer, renormalised over them."""
  top, tokens = likeliest(logits, known, min(width, logits.shape[-1]))
  p = jax.nn.softmax(top, axis=-1)
  return SoftEmbedding(
    jnp.einsum('bk,bkd->bd', p, table[tokens].astype(jnp.float32)),
    jax.nn.logsumexp(top, axis=-1),
    jnp.linalg.norm(p, axis=-1),
  )


def logits_and_mixture(
  hidden: Float[Array, 'b d'],
  table: Float[Array, 'v d'],
  temperature: Float[Array, ''],
  implementation: str | None = None,
) -> tuple[Float[Array, 'b v'], Float[Array, 'b d']]:
  """The logits of a tied table, and their `soft_mixture`; `implementation` of
  latent_kernels.vocabulary_attention."""
  table = table.astype(hidden.dtype)
  logits, soft = vocabulary_attention(
    hidden, table, temperature, implementation=implementation
  )
  return logits, soft.mixture


def soft_mixture(
  logits: Float[Array, '*b v'],
  table: Float[Array, 'v d'],
  temperature: Float[Array, ''],
) -> Float[Array, '*b d']:
  """softmax(logits / temperature) @ table, float32."""
  return soft_embedding(logits, table, temperature).mixture
