"""Grouped-query attention over an explicit boolean mask."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def attention(
  q: Float[Array, 'b n t h'],
  k: Float[Array, 'b k s h'],
  v: Float[Array, 'b k s h'],
  mask: Bool[Array, 'b t s'],
  *,
  implementation: str = 'xla',
) -> Float[Array, 'b n t h']:
  """softmax(q k^T / sqrt(h)) v with n / k query heads to each key head.

  Heads come before slots, so that both products are plain batched matrix
  products and the cache is read as it lies. The softmax is float32.
  `implementation='cudnn'` takes cuDNN's fused kernel (GPU, 16-bit only).
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
  q = (q * (1 / math.sqrt(h))).reshape(b, heads, n // heads * t, h)
  scores = jnp.einsum(
    'bkth,bksh->bkts', q, k, preferred_element_type=jnp.float32
  ).reshape(b, heads, n // heads, t, -1)
  scores = jnp.where(mask[:, None, None], scores, jnp.finfo(scores.dtype).min)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  weights = weights.reshape(b, heads, n // heads * t, -1)
  return jnp.einsum('bkts,bksh->bkth', weights, v).reshape(b, n, t, h)
