"""RMS normalisation against torch's."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from hybrid_latent.ops.norm import rms_norm


def test_agrees_with_torch(key):
  x = 10 * jax.random.normal(key, (2, 3, 64))
  scale = jax.random.normal(jax.random.fold_in(key, 1), 64)
  expected = torch.nn.functional.rms_norm(
    torch.tensor(np.asarray(x)), (64,), torch.tensor(np.asarray(scale)), 1e-6
  )
  np.testing.assert_allclose(
    jax.jit(rms_norm)(x, scale, 1e-6), expected, rtol=1e-5, atol=1e-6
  )


def test_bfloat16_keeps_float32_statistics():
  # 1 + 2**-8 has no bfloat16: summed there, the mean square would be off.
  x = jnp.full((1, 512), 3.0, jnp.bfloat16).at[0, 0].set(48.0)
  out = rms_norm(x, jnp.ones(512, jnp.bfloat16), 0.0)
  rms = np.sqrt((511 * 9 + 48**2) / 512)
  assert out.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    out.astype(jnp.float32)[0, :2], [48 / rms, 3 / rms], rtol=2**-8
  )


def test_eps_keeps_zero_finite():
  assert rms_norm(jnp.zeros((1, 4)), jnp.ones(4), 1e-6).tolist() == [[0.0] * 4]
