"""Token scores against float64, whatever the chunk."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chex import assert_trees_all_close

from hybrid_latent.ops.logprobs import over_chunks, token_scores

B, T, D, V = 2, 11, 6, 40


def _inputs(key):
  for_hidden, for_head, for_tokens = jax.random.split(key, 3)
  hidden = jax.random.normal(for_hidden, (B, T, D))
  head = jax.random.normal(for_head, (V, D))
  return hidden, head, jax.random.randint(for_tokens, (B, T), 0, V)


def _in_numpy(logits, tokens):
  logits = np.asarray(logits, np.float64)
  peak = logits.max(-1, keepdims=True)
  log_p = logits - peak - np.log(np.exp(logits - peak).sum(-1, keepdims=True))
  p = np.exp(log_p)
  entropy = -np.sum(p * np.where(p > 0, log_p, 0), -1)
  chosen = np.take_along_axis(log_p, np.asarray(tokens)[..., None], -1)
  return chosen[..., 0], entropy


def _chunked(hidden, head, tokens, temperature=0.7, chunk=4):
  def scores(part):
    hidden, tokens = part
    return token_scores(hidden @ head.T / jnp.float32(temperature), tokens)

  return over_chunks(scores, (hidden, tokens), chunk)


@pytest.mark.parametrize('scale', [1.0, 1e3])
def test_scores_in_float64(key, scale):
  hidden, head, tokens = _inputs(key)
  logits = scale * hidden @ head.T
  scores = jax.jit(token_scores)(logits, tokens)
  log_probs, entropy = _in_numpy(logits, tokens)
  np.testing.assert_allclose(
    scores.log_probs, log_probs, rtol=1e-5, atol=1e-6 * scale
  )
  np.testing.assert_allclose(
    scores.entropy, entropy, rtol=1e-5, atol=1e-6 * scale
  )


def test_bfloat16_logits_are_scored_in_float32(key):
  hidden, head, tokens = _inputs(key)
  logits = (hidden @ head.T).astype(jnp.bfloat16)
  scores = token_scores(logits, tokens)
  assert scores.log_probs.dtype == scores.entropy.dtype == jnp.float32
  log_probs, entropy = _in_numpy(logits.astype(jnp.float32), tokens)
  np.testing.assert_allclose(scores.log_probs, log_probs, rtol=1e-5)
  np.testing.assert_allclose(scores.entropy, entropy, rtol=1e-5)


def test_excluded_tokens_leave_entropy_and_gradient_finite(key):
  hidden, head, tokens = _inputs(key)
  logits = (hidden @ head.T).at[..., 1::2].set(-jnp.inf)
  tokens = tokens // 2 * 2

  def total(logits):
    return sum(map(jnp.sum, token_scores(logits, tokens)))

  _, entropy = _in_numpy(logits, tokens)
  scores = token_scores(logits, tokens)
  np.testing.assert_allclose(scores.entropy, entropy, rtol=1e-5)
  gradient = jax.grad(total)(logits)
  assert np.isfinite(gradient).all()
  expected = jax.grad(lambda x: total(x.at[..., 1::2].set(-jnp.inf)))(
    jnp.where(jnp.isneginf(logits), 0, logits)
  )
  np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('chunk', [1, 4, 10, T, 128])
def test_any_chunk_gives_the_same_scores_and_gradients(key, chunk):
  hidden, head, tokens = _inputs(key)

  def total(f):
    weights = jnp.arange(B * T, dtype=jnp.float32).reshape(B, T)
    scores = lambda *x: f(*x, tokens)
    mixed = lambda s: jnp.sum(weights * s.log_probs + s.entropy**2)
    return jax.jit(
      lambda *x: (
        scores(*x),
        jax.grad(lambda *x: mixed(scores(*x)), (0, 1))(*x),
      )
    )

  whole = total(lambda h, w, tokens: token_scores(h @ w.T / 0.7, tokens))
  chunked = total(lambda *x: _chunked(*x, chunk=chunk))
  assert_trees_all_close(
    chunked(hidden, head),
    whole(hidden, head),
    rtol=2e-5,
    atol=2e-5,
    strict=True,
  )


def test_logits_are_never_whole(key):
  b, t, d, v, chunk = 4, 256, 4, 500, 8
  hidden, head = jnp.ones((b, t, d)), jnp.ones((v, d))
  tokens = jnp.zeros((b, t), jnp.int32)

  def temporaries(f):
    total = lambda *x: sum(map(jnp.sum, f(*x, tokens)))
    program = jax.jit(jax.grad(total, argnums=(0, 1))).lower(hidden, head)
    return program.compile().memory_analysis().temp_size_in_bytes

  logits = 4 * b * t * v
  whole = temporaries(lambda h, w, tokens: token_scores(h @ w.T, tokens))
  assert whole > logits
  assert temporaries(lambda *x: _chunked(*x, chunk=chunk)) < logits / 4
