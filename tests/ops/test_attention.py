"""Attention against torch, with grouped heads and masks of every kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hybrid_latent.ops.attention import attention, causal_mask, positions

B, T, S, H = 2, 5, 9, 16
MASK = jnp.array([[0, 0, 1, 1], [1, 1, 1, 1]], bool)  # left-padded rows


def _inputs(key, heads, kv_heads):
  keys = jax.random.split(key, 4)
  q = jax.random.normal(keys[0], (B, heads, T, H))
  k, v = (jax.random.normal(x, (B, kv_heads, S, H)) for x in keys[1:3])
  mask = jax.random.bernoulli(keys[3], 0.5, (B, T, S))
  return q, k, v, mask.at[:, :, 0].set(True)


def _torch(q, k, v, mask):
  q, k, v, mask = (torch.tensor(np.asarray(x)) for x in (q, k, v, mask))
  return torch.nn.functional.scaled_dot_product_attention(
    q, k, v, attn_mask=mask[:, None], enable_gqa=True
  ).numpy()


@pytest.mark.parametrize('heads', [(4, 4), (6, 2), (3, 1)])
def test_agrees_with_torch(key, heads):
  inputs = _inputs(key, *heads)
  out = jax.jit(attention)(*inputs)
  np.testing.assert_allclose(out, _torch(*inputs), rtol=1e-5, atol=1e-6)


def test_bfloat16_has_a_float32_softmax(key):
  q, k, v, mask = _inputs(key, 6, 2)
  q, k, v = (x.astype(jnp.bfloat16) for x in (q, k, v))
  out = jax.jit(attention)(q, k, v, mask)
  assert out.dtype == jnp.bfloat16
  exact = attention(*(x.astype(jnp.float32) for x in (q, k, v)), mask)
  np.testing.assert_allclose(out.astype(jnp.float32), exact, atol=0.02)


def test_what_the_mask_hides_has_no_part(key):
  q, k, v, mask = _inputs(key, 6, 2)
  mask = mask.at[:, :, 4].set(False)
  expected = attention(q, k, v, mask)
  k, v = (x.at[:, :, 4].set(1e4) for x in (k, v))
  np.testing.assert_array_equal(attention(q, k, v, mask), expected)


def test_a_row_that_may_read_nothing_stays_finite(key):
  q, k, v, mask = _inputs(key, 6, 2)
  assert np.isfinite(attention(q, k, v, jnp.zeros_like(mask))).all()


def test_an_unknown_implementation_is_named(key):
  with pytest.raises(ValueError, match="'flash': write 'xla' or 'cudnn'"):
    attention(*_inputs(key, 4, 4), implementation='flash')


def test_positions_count_real_tokens():
  assert positions(MASK).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]


def test_padding_reads_itself_and_is_read_by_nobody_else():
  assert causal_mask(MASK).astype(int).tolist() == [
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]],
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
  ]
