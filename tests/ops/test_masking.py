"""Positions and masks of left-padded rows, by example."""

import jax.numpy as jnp

from hybrid_latent.ops.masking import causal_mask, positions

MASK = jnp.array([[0, 0, 1, 1], [1, 1, 1, 1]], bool)


def test_positions_count_real_tokens():
  assert positions(MASK).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]


def test_padding_reads_itself_and_is_read_by_nobody_else():
  assert causal_mask(MASK).astype(int).tolist() == [
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]],
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
  ]
