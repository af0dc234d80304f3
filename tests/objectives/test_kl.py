"""Estimates of a divergence against the divergence, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives.kl import ESTIMATORS, k3


def distributions():
  """The logits of two over seven tokens."""
  return jnp.float32(np.random.default_rng(0).normal(size=(2, 7)))


def divergence(p, q):
  p, q = jax.nn.log_softmax(p), jax.nn.log_softmax(q)
  return jnp.sum(jnp.exp(p) * (p - q))


def expected(estimate, policy, reference):
  """Over the policy's samples, which know nothing of a gradient."""
  log_probs = jax.nn.log_softmax(policy)
  weight = jax.lax.stop_gradient(jnp.exp(log_probs))
  return jnp.sum(weight * estimate(log_probs, jax.nn.log_softmax(reference)))


@pytest.mark.parametrize('name', ['k1', 'k3', 'k1+', 'k3+'])
def test_its_expectation_is_the_divergence(name):
  policy, reference = distributions()
  exact = divergence(policy, reference)
  actual = expected(ESTIMATORS[name], policy, reference)
  np.testing.assert_allclose(actual, exact, rtol=1e-5)
  assert exact > 0.1


def test_k2_is_biased():
  policy, reference = distributions()
  actual = expected(ESTIMATORS['k2'], policy, reference)
  assert abs(actual / divergence(policy, reference) - 1) > 0.01


@pytest.mark.parametrize(
  ('name', 'of'),
  [
    ('k1', lambda p, q: 0.0),
    ('k2', divergence),
    ('k3', lambda p, q: divergence(q, p)),
    ('k1+', divergence),
    ('k3+', divergence),
  ],
)
def test_its_expected_gradient_is_that_of_another_divergence(name, of):
  policy, reference = distributions()
  actual = jax.grad(expected, argnums=1)(ESTIMATORS[name], policy, reference)
  slope = jax.grad(of)(policy, reference)
  np.testing.assert_allclose(actual, slope, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
  ('name', 'value', 'slope'),
  [
    ('k1', lambda d: d, lambda d: np.ones_like(d)),
    ('k2', lambda d: d**2 / 2, lambda d: d),
    ('k3', lambda d: np.exp(-d) - 1 + d, lambda d: 1 - np.exp(-d)),
    ('k1+', lambda d: d, lambda d: d),
    ('k3+', lambda d: np.exp(-d) - 1 + d, lambda d: d),
  ],
)
def test_its_formula_and_gradient(name, value, slope):
  policy, reference = np.float64(
    -np.random.default_rng(0).exponential(size=(2, 9))
  )
  with jax.enable_x64(True):
    estimate = lambda x: ESTIMATORS[name](x, jnp.asarray(reference)).sum()
    actual, gradient = jax.value_and_grad(estimate)(policy)
  d = policy - reference
  np.testing.assert_allclose(actual, value(d).sum(), rtol=1e-12)
  np.testing.assert_allclose(gradient, slope(d), rtol=0, atol=1e-12)


def test_k3_is_never_negative_and_zero_where_both_agree():
  log_probs = jnp.linspace(-20, 0, 101)
  for d in (1e-6, 1e-4, 1e-2, 1.0):
    for reference in (log_probs - d, log_probs + d):
      assert (k3(log_probs, reference) >= 0).all()
  assert not k3(log_probs, log_probs).any()
