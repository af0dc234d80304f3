"""The k3 estimate against the divergence it estimates."""

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent.objectives.kl import k3


def distributions():
  """Two of seven tokens, float64 log-probs."""
  logits = np.random.default_rng(0).normal(size=(2, 7))
  return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_its_expectation_is_the_divergence():
  policy, reference = distributions()
  estimate = k3(jnp.float32(policy), jnp.float32(reference))
  p = np.exp(policy)
  exact = (p * (policy - reference)).sum()
  np.testing.assert_allclose((p * estimate).sum(), exact, rtol=1e-5)
  assert exact > 0.1


def test_it_is_never_negative_and_zero_where_both_agree():
  log_probs = np.linspace(-20, 0, 101, dtype=np.float32)
  for d in (1e-6, 1e-4, 1e-2, 1.0):
    for reference in (log_probs - d, log_probs + d):
      assert (k3(log_probs, reference) >= 0).all()
  assert not k3(log_probs, log_probs).any()


def test_its_gradient():
  policy, reference = map(jnp.float32, distributions())
  slope = jax.grad(lambda x: k3(x, reference).sum())(policy)
  np.testing.assert_allclose(
    slope, 1 - np.exp(reference - policy), rtol=1e-5, atol=1e-6
  )
