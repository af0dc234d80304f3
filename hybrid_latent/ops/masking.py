"""Positions and attention masks of left-padded batches."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def positions(mask: Bool[Array, 'b t']) -> Int[Array, 'b t']:
  """0 at the first real token of each row, counting real tokens only (and 0
  on the padding before it)."""
  return jnp.maximum(jnp.cumsum(mask, axis=-1, dtype=jnp.int32) - 1, 0)


def causal_mask(mask: Bool[Array, 'b t']) -> Bool[Array, 'b t t']:
  """Each position reads itself and the real positions before it. Reading
  itself keeps the softmax of a padding position finite."""
  t = mask.shape[-1]
  past = jnp.tril(jnp.ones((t, t), bool))[None]
  return past & mask[:, None, :] | jnp.eye(t, dtype=bool)[None]
