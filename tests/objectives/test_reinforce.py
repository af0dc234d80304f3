"""HRPO's loss and its gradient, in float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives.advantages import group_advantages
from hybrid_latent.objectives.reinforce import reinforce

LENGTHS = np.array([4, 1, 3, 2])
MASK = np.arange(4) < LENGTHS[:, None]
RNG = np.random.default_rng(0)
LOG_PROBS, REFERENCE = -RNG.exponential(size=(2, 4, 4)).astype(np.float32)
ADVANTAGES = RNG.normal(size=4).astype(np.float32)


def by_hand(log_probs, sampled, advantages, beta):
  """As released; `sampled` is what stop_gradient holds."""
  d = np.float64(REFERENCE) - log_probs
  ratio = np.exp(log_probs - sampled)
  each = -(ratio * advantages[:, None] - beta * (np.exp(d) - d - 1))
  return ((each * MASK).sum(-1) / LENGTHS).mean()


def loss(log_probs, **how):
  return reinforce(log_probs, REFERENCE, ADVANTAGES, MASK, **how)[0].value


@pytest.mark.parametrize('beta', [0.0, 0.005, 0.3])
def test_loss_is_the_formula(beta):
  expected = by_hand(np.float64(LOG_PROBS), LOG_PROBS, ADVANTAGES, beta)
  np.testing.assert_allclose(loss(LOG_PROBS, beta=beta), expected, rtol=1e-5)


@pytest.mark.parametrize('beta', [0.0, 0.005, 0.3])
def test_gradient_is_that_of_finite_differences_and_of_the_formula(beta):
  gradient = jax.jit(jax.grad(loss))(LOG_PROBS, beta=beta)
  step, expected = 1e-6, np.zeros(MASK.shape)
  for at in np.ndindex(MASK.shape):
    nudge = np.zeros(MASK.shape)
    nudge[at] = step
    up, down = (
      by_hand(LOG_PROBS + by, LOG_PROBS, ADVANTAGES, beta)
      for by in (nudge, -nudge)
    )
    expected[at] = (up - down) / (2 * step)
  np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
  slope = -ADVANTAGES[:, None] + beta * (1 - np.exp(REFERENCE - LOG_PROBS))
  np.testing.assert_allclose(
    gradient, MASK / LENGTHS[:, None] / 4 * slope, rtol=1e-5, atol=1e-6
  )


def test_in_expectation_it_climbs_the_reward():
  """Over all actions of a one-step policy: minus the gradient of E[reward]."""
  logits, rewards = jnp.float32(RNG.normal(size=(2, 5)))
  everything = np.ones((5, 1), bool)

  def weighted_loss(logits):
    log_probs = jax.nn.log_softmax(logits)
    p = jax.lax.stop_gradient(jnp.exp(log_probs))
    one = lambda a: (
      reinforce(
        log_probs[a].reshape(1, 1), None, rewards[a][None], everything[:1]
      )[0].value
    )
    return sum(p[a] * one(a) for a in range(5))

  expected = jax.grad(lambda x: -(jax.nn.softmax(x) * rewards).sum())(logits)
  actual = jax.jit(jax.grad(weighted_loss))(logits)
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


def test_without_reference_there_is_no_kl():
  mean, parts = reinforce(LOG_PROBS, None, ADVANTAGES, MASK)
  np.testing.assert_allclose(mean.value, loss(LOG_PROBS, beta=0.0), rtol=1e-6)
  assert not parts
  _, parts = reinforce(LOG_PROBS, REFERENCE, ADVANTAGES, MASK)
  d = np.float64(REFERENCE) - LOG_PROBS
  kl = (MASK * (np.exp(d) - d - 1)).sum(-1) / LENGTHS
  np.testing.assert_allclose(parts['kl'].value, kl.mean(), rtol=1e-5)


def test_rows_without_grade_train_nothing():
  """Masked out as the trainer does, the rest is as if they had not been."""
  reward = jnp.array([1.0, np.nan, 0.0, 0.0])
  advantages = group_advantages(reward, 4)
  graded = ~np.isnan(reward)
  mask = MASK & graded[:, None]

  def value(log_probs, rows):
    rows = np.array(rows)
    mean, _ = reinforce(
      log_probs, REFERENCE[rows], advantages[rows], mask[rows]
    )
    return mean.value

  slope = jax.jit(jax.value_and_grad(value), static_argnums=1)
  everything, some = (0, 1, 2, 3), (0, 2, 3)
  mine, slopes = slope(LOG_PROBS, everything)
  alone, expected = slope(LOG_PROBS[graded], some)
  np.testing.assert_allclose(mine, alone, rtol=1e-6)
  np.testing.assert_allclose(slopes[graded], expected, rtol=1e-6)
  assert not slopes[1].any()
