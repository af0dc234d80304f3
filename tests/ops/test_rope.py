"""Rotary embedding against complex rotation and Hugging Face's frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from hybrid_latent.ops.rope import (
  Llama3Scaling,
  rope_frequencies,
  rope_tables,
  rotate,
)

LLAMA_32 = Llama3Scaling(32.0, 1.0, 4.0, 8192)


def test_planes_turn_as_complex_numbers(key):
  b, n, t, h = 2, 3, 5, 8
  x = jax.random.normal(key, (b, n, t, h))
  positions = jnp.array([[0, 0, 1, 2, 3], [7, 8, 9, 10, 4000]])
  frequencies = rope_frequencies(h, 10_000.0, None)
  out = np.asarray(jax.jit(rotate)(x, *rope_tables(positions, frequencies)))
  theta = 10_000.0 ** (-np.arange(h // 2) / (h // 2))
  turn = np.exp(1j * np.asarray(positions)[:, None, :, None] * theta)
  plane = (
    np.asarray(x[..., : h // 2]) + 1j * np.asarray(x[..., h // 2 :])
  ) * turn
  np.testing.assert_allclose(out[..., : h // 2], plane.real, atol=2e-4)
  np.testing.assert_allclose(out[..., h // 2 :], plane.imag, atol=2e-4)


def test_scores_depend_on_distance_alone(key):
  q, k = jax.random.normal(key, (2, 1, 1, 1, 64))
  frequencies = rope_frequencies(64, 1e6, None)

  def score(i, j):
    at = lambda p: rope_tables(jnp.array([[p]]), frequencies)
    return jnp.sum(rotate(q, *at(i)) * rotate(k, *at(j)))

  np.testing.assert_allclose(score(3, 10), score(503, 510), rtol=1e-4)
  assert abs(score(3, 10) - score(3, 11)) > 1e-2


def test_bfloat16_heads_stay_bfloat16(key):
  x = jax.random.normal(key, (1, 2, 3, 8), jnp.bfloat16)
  tables = rope_tables(jnp.arange(3)[None], rope_frequencies(8, 1e4, None))
  assert rotate(x, *tables).dtype == jnp.bfloat16
  assert all(table.dtype == jnp.float32 for table in tables)


@pytest.mark.parametrize('theta', [1e4, 5e5, 1e6])
@pytest.mark.parametrize('scaling', [None, LLAMA_32])
def test_frequencies_are_hugging_faces(theta, scaling):
  if scaling is None:
    expected = 1.0 / theta ** (np.arange(0, 128, 2) / 128)
  else:
    config = LlamaConfig(
      hidden_size=512,
      num_attention_heads=4,
      head_dim=128,
      max_position_embeddings=131_072,
      rope_parameters={
        'rope_type': 'llama3',
        'rope_theta': theta,
        **scaling._asdict(),
      },
    )
    expected, attention_factor = ROPE_INIT_FUNCTIONS['llama3'](config, None)
    assert attention_factor == 1.0
    expected = expected.numpy()
  frequencies = rope_frequencies(128, theta, scaling)
  assert frequencies.dtype == np.float32
  np.testing.assert_allclose(frequencies, expected, rtol=2e-6)
