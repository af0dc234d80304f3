"""The soft embedding of filtered logits, read from few rows or from all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.ops.soft import filtered_soft_embedding

VOCAB, WIDTH = 40, 6
program = jax.jit(filtered_soft_embedding, static_argnames='width')


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('width', [0, 5, VOCAB, VOCAB + 1])
@pytest.mark.parametrize('kept', [(1, 5, 2), (5, 6, 1), (VOCAB, 1, 7)])
def test_every_width_gives_the_definition(kept, width, dtype):
  rng = np.random.default_rng(0)
  logits = np.full((3, VOCAB), -np.inf)
  for row, n in zip(logits, kept, strict=True):
    row[rng.permutation(VOCAB)[:n]] = 5 * rng.normal(size=n)
  table = jnp.asarray(rng.normal(size=(VOCAB, WIDTH)), dtype)
  p = np.exp(logits - logits.max(-1, keepdims=True))
  p /= p.sum(-1, keepdims=True)
  out = program(jnp.float32(logits), table, width=width)
  assert {x.dtype for x in out} == {jnp.dtype('float32')}
  rtol = 1e-5 if dtype == jnp.float32 else 2e-2  # p itself is rounded there
  close = lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)
  close(out.mixture, p @ np.float64(table))
  close(out.l2, np.linalg.norm(p, axis=-1))
  close(out.log_sum_exp, np.log(np.exp(logits).sum(-1)))
