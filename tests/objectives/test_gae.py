"""Generalized advantages: the sum they are, and tokens they pass over."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives.base import AdvantageInputs
from hybrid_latent.objectives.gae import gae
from tests.tiny import QUICK

V = [[0.2, 0.3, 0.5, 0.6]]
WHITENED = [[1.053987, 0.606841, -0.564256, -1.096572]]
# Forced tokens at the start, inside and before the end of a row; padding.
MASK = np.array([[1, 1, 0, 1, 1, 0], [0, 1, 0, 0, 1, 0], [1] * 6], bool)


def judged(rewards, values, mask=None, token_rewards=None) -> AdvantageInputs:
  mask = np.ones(np.shape(values), bool) if mask is None else mask
  return AdvantageInputs(
    jnp.asarray(rewards), mask, token_rewards, jnp.asarray(values)
  )


def advantages(batch, **how):
  made = jax.jit(partial(gae, group=1, **how), compiler_options=QUICK)(batch)
  return jax.tree.map(np.asarray, made)


def random_batch():
  rng = np.random.default_rng(0)
  values, by_token = rng.normal(size=(2, *MASK.shape))
  return judged(rng.normal(size=3), values, MASK, by_token)


def test_four_tokens():
  """The numbers of TRL and verl."""
  actual, returns = advantages(judged([1.0], V), whiten=False)
  np.testing.assert_allclose(actual, [[0.7232, 0.656, 0.48, 0.4]], atol=5e-5)
  np.testing.assert_allclose(returns, [[0.9232, 0.956, 0.98, 1.0]], atol=5e-5)
  whitened, same = advantages(judged([1.0], V))
  np.testing.assert_allclose(whitened, WHITENED, atol=1e-5)
  np.testing.assert_array_equal(same, returns)


@pytest.mark.parametrize(('gamma', 'lam'), [(1.0, 0.95), (0.9, 0.8), (0.9, 0)])
def test_it_is_the_sum_of_discounted_errors(gamma, lam):
  with jax.enable_x64(True):
    batch = random_batch()
    actual, returns = advantages(batch, gamma=gamma, lam=lam, whiten=False)
  for b, row in enumerate(MASK):
    v, r = np.array([batch.values[b], batch.token_rewards[b]])[:, row]
    r[-1] += float(batch.rewards[b])
    delta = r + gamma * np.append(v[1:], 0) - v
    n = len(r)
    expected = [
      sum((gamma * lam) ** k * delta[t + k] for k in range(n - t))
      for t in range(n)
    ]
    np.testing.assert_allclose(actual[b][row], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(returns[b][row], expected + v, atol=1e-12)
  np.testing.assert_array_equal(actual[~MASK], 0)


def test_without_critic_or_discount_it_is_the_return():
  batch = random_batch()._replace(values=jnp.zeros(MASK.shape))
  actual, _ = advantages(batch, lam=1, whiten=False)
  for b, row in enumerate(MASK):
    to_go = np.cumsum(batch.token_rewards[b][row][::-1])[::-1]
    np.testing.assert_allclose(
      actual[b][row], to_go + batch.rewards[b], atol=1e-5
    )


def test_whitened_they_have_mean_0_and_variance_1():
  plain, returns = advantages(random_batch(), whiten=False)
  white, same = advantages(random_batch())
  np.testing.assert_allclose(white[MASK].mean(), 0, atol=1e-6)
  np.testing.assert_allclose(np.var(white[MASK], ddof=1), 1, rtol=1e-5)
  np.testing.assert_array_equal(white[~MASK], 0)
  np.testing.assert_array_equal(same, returns)
  slope = np.diff(white[MASK]) / np.diff(plain[MASK])
  np.testing.assert_allclose(slope, slope[0], rtol=1e-4)


@pytest.mark.parametrize('whiten', [True, False])
def test_forced_tokens_and_ungraded_rows_might_as_well_not_exist(whiten):
  batch = random_batch()
  ungraded = np.array([False, False, True])
  rewards = jnp.where(ungraded, jnp.nan, batch.rewards)
  dirty = jnp.where(MASK, batch.token_rewards, jnp.nan)
  batch = batch._replace(rewards=rewards, token_rewards=dirty)
  actual, returns = advantages(batch, whiten=whiten)
  # Rows 0 and 1 alone, with what is forced cut out.
  kept = [[0, 1, 3, 4], [1, 4, 5, 5]]
  cut = lambda x: jnp.take_along_axis(x[:2], jnp.array(kept), 1)
  short = AdvantageInputs(
    rewards[:2],
    np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool),
    cut(batch.token_rewards),
    cut(batch.values),
  )
  expected, others = advantages(short, whiten=whiten)
  where = np.asarray(short.loss_mask)
  np.testing.assert_allclose(cut(actual)[where], expected[where], atol=1e-6)
  np.testing.assert_allclose(cut(returns)[where], others[where], atol=1e-6)
  np.testing.assert_array_equal(actual[2], 0)
  np.testing.assert_array_equal(returns[2], batch.values[2])


@pytest.mark.parametrize('rewards', [[np.nan], [1.0]])
def test_a_batch_without_a_token_has_no_advantage(rewards):
  mask = np.zeros((1, 4), bool)
  actual, returns = advantages(judged(rewards, V, mask))
  np.testing.assert_array_equal(actual, 0)
  np.testing.assert_array_equal(returns, jnp.array(V))


def test_it_needs_a_critic_and_discounts_within_reason():
  batch = judged([1.0], V)
  with pytest.raises(ValueError, match='values is None, accepted are'):
    gae(batch._replace(values=None), 1)
  with pytest.raises(ValueError, match='lam 95: write a number from 0 to 1'):
    gae(batch, 1, lam=95)
