"""Attention against torch, with grouped heads and masks of every kind."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hybrid_latent import sharding
from hybrid_latent.ops import attention as module
from hybrid_latent.ops.attention import attention, causal_mask, positions

B, T, S, H = 2, 5, 9, 16
MASK = jnp.array([[0, 0, 1, 1], [1, 1, 1, 1]], bool)  # left-padded rows
LENGTH = 21
AT = np.arange(LENGTH)
# Two prompts, a row without its prefix, and a completion that has ended.
PADDED = np.stack([AT > 6, AT >= 0, (AT > 2) & (abs(AT - 11) > 2), AT < 17])
PACKED = np.stack([1 + AT // 8, np.where(AT < 19, 1 + AT // 5, 0)])
ROWS = {
  'padded': PADDED,
  'packed': PACKED,
  'both': np.concatenate([PADDED.astype(int), PACKED]),
}


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


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_prompt_that_a_group_shares(key, dtype):
  """Two prompts of four slots, each with two rows of five queries."""
  parts = (_inputs(x, 6, 2) for x in jax.random.split(key))
  q, k, v, mask = map(jnp.concatenate, zip(*parts, strict=True))
  q, k, v = (x.astype(dtype) for x in (q, k, v))
  prompt = k[::2, :, :4], v[::2, :, :4]
  out = jax.jit(attention)(q, k[:, :, 4:], v[:, :, 4:], mask, prompt=prompt)
  assert out.dtype == dtype
  rows = lambda x: jnp.repeat(x[::2, :, :4], 2, axis=0)
  whole = lambda x: jnp.concatenate([rows(x), x[:, :, 4:]], axis=2)
  exact = _torch(*(x.astype('float32') for x in (q, whole(k), whole(v))), mask)
  to = {'float32': 1e-6, 'bfloat16': 0.02}[dtype]
  np.testing.assert_allclose(out.astype('float32'), exact, rtol=1e-5, atol=to)


def test_what_the_mask_hides_has_no_part(key):
  q, k, v, mask = _inputs(key, 6, 2)
  mask = mask.at[:, :, 4].set(False)
  expected = attention(q, k, v, mask)
  k, v = (x.at[:, :, 4].set(1e4) for x in (k, v))
  np.testing.assert_array_equal(attention(q, k, v, mask), expected)


def test_a_row_that_may_read_nothing_stays_finite(key):
  q, k, v, mask = _inputs(key, 6, 2)
  assert np.isfinite(attention(q, k, v, jnp.zeros_like(mask))).all()


def _dense(segments):
  """By the book: the past of the same segment."""
  b, t = segments.shape
  mask = np.zeros((b, t, t), bool)
  for row, i, j in np.ndindex(mask.shape):
    mask[row, i, j] = j <= i and segments[row, i] == segments[row, j]
  return mask


def _self_attention(key, b, t, heads=4, kv_heads=2):
  shapes = [(b, n, t, H) for n in (heads, kv_heads, kv_heads, heads)]
  return [
    jax.random.normal(k, x)
    for k, x in zip(jax.random.split(key, 4), shapes, strict=True)
  ]


def _with_gradients(attend, inputs, weight, segments):
  """The outputs that a loss reads, and its gradients."""

  @jax.jit
  def run(inputs, weight, segments):
    # Nothing reads the padding.
    weight = weight * (segments > 0)[:, None, :, None]

    def loss(inputs):
      out = attend(*inputs, segments) * weight
      return out.sum(), out

    (_, out), gradients = jax.value_and_grad(loss, has_aux=True)(inputs)
    return out, *gradients

  return run(tuple(inputs), weight, segments)


def _of(implementation):
  if implementation == 'lengths':  # as cuDNN is given them, computed by XLA
    return lambda *inputs: module._cudnn(*inputs, 'xla')
  return lambda *inputs: attention(*inputs, implementation=implementation)


@pytest.mark.parametrize('rows', ['padded', 'packed'])
def test_segments_are_the_mask_of_their_past(key, rows):
  segments = jnp.asarray(ROWS[rows])
  *qkv, _ = _self_attention(key, len(segments), LENGTH)
  out = jax.jit(attention)(*qkv, segments)
  expected = _torch(*qkv, _dense(segments))
  np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ('implementation', 'rows'),
  [
    ('xla_chunked', 'both'),
    ('splash_interpret', 'both'),
    ('lengths', 'padded'),
    ('lengths', 'packed'),
  ],
)
def test_implementations_agree_with_gradients(
  key, monkeypatch, implementation, rows
):
  monkeypatch.setattr(module, 'CHUNK', 100)  # chunks of 5 queries
  segments = jnp.asarray(ROWS[rows])
  *qkv, weight = _self_attention(key, len(segments), LENGTH)
  given = qkv, weight, segments
  expected = _with_gradients(_of('xla'), *given)
  found = _with_gradients(_of(implementation), *given)
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_chunks_do_not_round_gradients_of_keys(key, monkeypatch):
  """They are sums over the chunks: with bfloat16 sums the error grows."""
  monkeypatch.setattr(module, 'CHUNK', 2 * LENGTH)
  *qkv, weight = _self_attention(key, 4, LENGTH, 2, 1)
  rest = weight, jnp.asarray(PADDED)
  exact = _with_gradients(_of('xla'), qkv, *rest)
  qkv = [x.astype(jnp.bfloat16) for x in qkv]
  errors = [
    np.linalg.norm(np.float32(of[2]) - exact[2])
    for of in (
      _with_gradients(_of(x), qkv, *rest) for x in ('xla', 'xla_chunked')
    )
  ]
  assert errors[1] < 1.2 * errors[0]


@pytest.mark.parametrize('implementation', ['xla_chunked', 'splash_interpret'])
def test_sharded_rows_heads_and_queries(key, monkeypatch, implementation):
  monkeypatch.setattr(module, 'CHUNK', 2**14)
  *qkv, weight = _self_attention(key, 2, 256)
  at = np.arange(256)
  given = qkv, weight, jnp.asarray(np.stack([at > 70, 1 + at // 100]))
  expected = _with_gradients(_of('xla'), *given)
  with jax.set_mesh(sharding.mesh(data=2, tensor=2, sequence=2)):
    found = _with_gradients(_of(implementation), *given)
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize('implementation', [None, 'splash'])
def test_long_rows_have_no_square_of_scores(implementation):
  shape = jax.ShapeDtypeStruct((1, 2, 2048, 128), jnp.bfloat16)
  segments = jax.ShapeDtypeStruct((1, 2048), bool)
  run = jax.jit(partial(attention, implementation=implementation))
  lowered = run.trace(shape, shape, shape, segments).lower(
    lowering_platforms=('tpu',)
  )
  text = lowered.as_text()
  assert '2048x2048' not in text
  assert ('splash_mha_fwd_segmented' in text) == (implementation == 'splash')


def test_an_unknown_implementation_is_named(key):
  with pytest.raises(ValueError, match="'flash': write one of"):
    attention(*_inputs(key, 4, 4), implementation='flash')


def test_positions_count_real_tokens():
  assert positions(MASK).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]


def test_padding_is_read_by_padding_alone():
  assert causal_mask(MASK).astype(int).tolist() == [
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]],
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
  ]
