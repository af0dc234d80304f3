"""Rotary position embedding, plain and with Llama 3's frequency scaling."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Llama3Scaling(NamedTuple):
  """Llama 3.1's scaling of low frequencies (HF: rope_type 'llama3')."""

  factor: float
  low_freq_factor: float
  high_freq_factor: float
  original_max_position_embeddings: int


def rope_frequencies(
  head_dim: int, theta: float, scaling: Llama3Scaling | None
) -> Float[np.ndarray, '{head_dim}//2']:
  """Angular frequency of each of the head_dim / 2 planes, float32 radians per
  position. With scaling: frequencies of wavelengths above original /
  low_freq_factor are divided by `factor`, of those below original /
  high_freq_factor unchanged, between interpolated (arXiv 2407.21783, as
  released)."""
  exponent = np.arange(0, head_dim, 2, dtype=np.float32) / head_dim
  frequency = (1.0 / theta**exponent).astype(np.float32)
  if scaling is None:
    return frequency
  # Rotations within the original context; its bounds are in the config.
  turns = scaling.original_max_position_embeddings * frequency / (2 * math.pi)
  low, high = scaling.low_freq_factor, scaling.high_freq_factor
  smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
  scaled = frequency / scaling.factor
  return ((1 - smooth) * scaled + smooth * frequency).astype(np.float32)


def rope_tables(
  positions: Int[Array, 'b t'], frequencies: Float[np.ndarray, 'half']
) -> tuple[Float[Array, 'b t 2*half'], Float[Array, 'b t 2*half']]:
  """Cosines and sines in float32, each plane's angle stored twice (halves)."""
  angle = positions[..., None].astype(jnp.float32) * frequencies[None, None]
  angle = jnp.concatenate([angle, angle], axis=-1)
  return jnp.cos(angle), jnp.sin(angle)


def rotate(
  x: Float[Array, 'b n t h'],
  cos: Float[Array, 'b t h'],
  sin: Float[Array, 'b t h'],
) -> Float[Array, 'b n t h']:
  """x rotated by its position, planes (i, i + h/2) as in Hugging Face."""
  half = x.shape[-1] // 2
  y = x.astype(jnp.float32)
  rotated = jnp.concatenate([-y[..., half:], y[..., :half]], axis=-1)
  return (y * cos[:, None] + rotated * sin[:, None]).astype(x.dtype)
