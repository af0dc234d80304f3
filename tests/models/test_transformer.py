"""What the decoder promises beside parity: its depth costs no compile time, and
its norm is torch's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hybrid_latent.models.llama import SIZES
from hybrid_latent.models.transformer import (
  Transformer,
  TransformerConfig,
  rms_norm,
)
from hybrid_latent.ops.attention import causal_mask, positions


def gradient_program(layers: int, remat: str) -> str:
  config = dataclasses.replace(
    next(iter(SIZES.values())),
    vocab=64,
    width=16,
    heads=2,
    kv_heads=1,
    head_dim=8,
    mlp=32,
    layers=layers,
    remat=remat,
  )
  model = jax.eval_shape(lambda: Transformer(config, jax.random.key(0)))
  mask = jnp.ones((2, 8), bool)

  def loss(model):
    x = model.embed(jnp.zeros((2, 8), jnp.int32))
    hidden, _ = model.forward(x, None, positions(mask), causal_mask(mask))
    return model.unembed(hidden).sum()

  return jax.jit(jax.grad(loss)).lower(model).as_text()


@pytest.mark.parametrize('remat', ['none', 'full', 'dots'])
def test_the_training_program_does_not_grow_with_the_layers(remat):
  lines = [gradient_program(n, remat).count('\n') for n in (2, 64)]
  assert lines[0] == lines[1]


def test_the_norm_agrees_with_torch(key):
  x = 10 * jax.random.normal(key, (2, 3, 64))
  scale = jax.random.normal(jax.random.fold_in(key, 1), 64)
  expected = torch.nn.functional.rms_norm(
    torch.tensor(np.asarray(x)), (64,), torch.tensor(np.asarray(scale)), 1e-6
  )
  np.testing.assert_allclose(
    jax.jit(rms_norm)(x, scale, 1e-6), expected, rtol=1e-5, atol=1e-6
  )


def test_a_bfloat16_norm_keeps_float32_statistics():
  # 1 + 2**-8 has no bfloat16: summed there, the mean square would be off.
  x = jnp.full((1, 512), 3.0, jnp.bfloat16).at[0, 0].set(48.0)
  out = rms_norm(x, jnp.ones(512, jnp.bfloat16), 0.0)
  rms = np.sqrt((511 * 9 + 48**2) / 512)
  assert out.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    out.astype(jnp.float32)[0, :2], [48 / rms, 3 / rms], rtol=2**-8
  )


def test_eps_keeps_the_norm_of_zero_finite():
  assert rms_norm(jnp.zeros((1, 4)), jnp.ones(4), 1e-6).tolist() == [[0.0] * 4]


def test_segments_prefill_the_cache_as_their_mask_does():
  config = TransformerConfig(
    vocab=30, width=16, layers=2, heads=4, kv_heads=2, head_dim=8, mlp=32,
    rope_theta=1e4)  # fmt: skip
  model = Transformer(config, jax.random.key(0))
  real = jnp.arange(9)[None] >= jnp.array([[3], [0]])
  x = jax.random.normal(jax.random.key(1), (2, 9, 16))

  @jax.jit
  def forward(model, mask):
    empty = model.init_cache(2, 12)  # longer than x
    return model.forward(x, empty, positions(real), mask)

  hidden, cache = forward(model, real)
  mask = jnp.pad(causal_mask(real), ((0, 0), (0, 0), (0, 3)))
  expected, filled = forward(model, mask)
  gap = jnp.where(real[..., None], hidden - expected, 0)
  assert jnp.abs(gap).max() < 1e-6
  own = lambda c: jnp.where(real[:, None, :, None], c.k[-1][:, :, :9], 0)
  assert jnp.abs(own(cache) - own(filled)).max() < 1e-6
  assert cache.length == 9
