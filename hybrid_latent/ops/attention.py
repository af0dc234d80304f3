"""Grouped-query attention with an explicit boolean mask, and the positions and
masks of left-padded batches and of rows packed with several texts."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def attention(
  q: Float[Array, 'b n t h'],
  k: Float[Array, 'b k s h'],
  v: Float[Array, 'b k s h'],
  mask: Bool[Array, 'b t s'],
  *,
  implementation: str = 'xla',
) -> Float[Array, 'b n t h']:
  """softmax(q k^T / sqrt(h)) v with n / k query heads per key head.

  Heads come before slots, so that both products are plain batched matmuls on
  the cache without a transpose. The softmax is float32.
  `implementation='cudnn'` uses cuDNN's fused kernel (GPU, 16-bit only).
  """
  if implementation == 'cudnn':
    q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q, k, v))
    out = jax.nn.dot_product_attention(
      q, k, v, mask=mask[:, None], implementation='cudnn'
    )
    return jnp.swapaxes(out, 1, 2)
  if implementation != 'xla':
    raise ValueError(
      f"attention implementation {implementation!r}: write 'xla' or 'cudnn'"
    )
  b, n, t, h = q.shape
  heads = k.shape[1]
  # Scaled before the product: h multiplications per query instead of s. Query
  # heads are grouped by key head, so keys and values are not repeated.
  q = (q * (1 / math.sqrt(h))).reshape(b, heads, n // heads, t, h)
  scores = jnp.einsum(
    'bkgth,bksh->bkgts', q, k, preferred_element_type=jnp.float32
  )
  # Finite, so that a fully masked row gives a uniform softmax, not NaN.
  scores = jnp.where(mask[:, None, None], scores, jnp.finfo(scores.dtype).min)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  return jnp.einsum('bkgts,bksh->bkgth', weights, v).reshape(b, n, t, h)


def positions(mask: Bool[Array, 'b t']) -> Int[Array, 'b t']:
  """Positions that count real tokens only: 0 at the first of each row, and on
  the padding before it."""
  return jnp.maximum(jnp.cumsum(mask, axis=-1, dtype=jnp.int32) - 1, 0)


def causal_mask(mask: Bool[Array, 'b t']) -> Bool[Array, 'b t t']:
  """Each position attends to itself and the real positions before it. Itself
  included, the softmax of a padding position is finite."""
  t = mask.shape[-1]
  past = jnp.tril(jnp.ones((t, t), bool))[None]
  return past & mask[:, None, :] | jnp.eye(t, dtype=bool)[None]


def segment_positions(segments: Int[Array, 'b t']) -> Int[Array, 'b t']:
  """0 at the first position of each segment, a run of equal numbers."""
  index = jnp.broadcast_to(jnp.arange(segments.shape[1]), segments.shape)
  starts = segments != jnp.roll(segments, 1, axis=1)
  first = jnp.where(starts, index, 0)
  return index - jax.lax.cummax(first, axis=1)


def segment_mask(segments: Int[Array, 'b t']) -> Bool[Array, 'b t t']:
  """Each position attends to itself and those before it in its segment."""
  t = segments.shape[1]
  past = jnp.tril(jnp.ones((t, t), bool))[None]
  return past & (segments[:, :, None] == segments[:, None, :])
