"""SofT-GRPO and Latent-GRPO against their formulas in float64 numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.feedback.gumbel_soft import gumbel_noise, gumbel_soft
from hybrid_latent.ops.sampling import distribution, draw, sampling
from hybrid_latent.types import ScoreInputs
from tests import tiny
from tests.tiny import FEEDBACKS, STOPS, sample, scores
from tests.unrolled import unrolled

PROMPT, FEEDBACK, K = tiny.prompts(), FEEDBACKS['gumbel-soft'], 5
VOCAB = tiny.CONFIG.vocab
LATENT_GRPO = {
  'temperature': 1.0,
  'one_sided': True,
  'renormalized': False,
  'min_log_prob': -np.inf,
}
NO_CLIP = {'low': -np.inf, 'high': np.inf}
rolled = partial(tiny.rolled, feedback=FEEDBACK)


@pytest.fixture(scope='module')
def actor():
  return tiny.policy(0, FEEDBACK)


def told(actor, **settings):
  return actor._replace(feedback=gumbel_noise(None, **settings))


def log_softmax(x):
  return x - np.logaddexp.reduce(np.float64(x), axis=-1, keepdims=True)


def density(logits, g, renormalized):
  """The papers' score of the first tokens."""
  log_p = log_softmax(logits)[:K]
  d = g - (log_softmax(log_p) if renormalized else log_p)
  return (-d - np.exp(-d)).mean()


@pytest.mark.parametrize('settings', [{}, LATENT_GRPO], ids=['soft', 'latent'])
@pytest.mark.parametrize('how', [{}, {'temperature': 0.8, 'top_k': K}])
def test_a_rollout_is_that_of_the_papers(actor, settings, how):
  """Inputs, scores and the range of the noise, from the recorded g."""
  actor = told(actor, **settings)
  out = rolled(actor, **how)
  tau, fed = float(actor.feedback.temperature), out.record['fed'] & out.mask
  ids, g = out.record['ids'], np.float64(out.record['g'])
  np.testing.assert_array_equal(fed, out.thinking_mask)
  table = np.float64(actor.table)

  def feed(i, t, *_):
    w = np.exp((g[i, t] - g[i, t].max()) / tau)
    return w @ table[ids[i, t]] / w.sum() if fed[i, t] else None

  _, logits = unrolled(actor, PROMPT, out, feed)
  low, high, floor = (0, 4.5, -np.inf) if settings else (-1.5, 3, -3)
  normalized = log_softmax if not settings else lambda log_p: log_p
  for i, t in np.argwhere(fed):
    own = log_softmax(logits[i, t] / how.get('temperature', 1))
    log_p = normalized(own[ids[i, t]])
    noise = g[i, t] - log_p
    assert (low - 1e-4 <= noise).all() and (noise <= high + 1e-4).all()
    if how:
      assert {*ids[i, t]} == {*np.argsort(-own)[:K]}
      assert out.tokens[i, t] in ids[i, t]
    d = g[i, t] - normalized(log_softmax(logits[i, t])[ids[i, t]])
    d = d[log_p > floor]
    expected = (-d - np.exp(-d)).mean()
    assert out.log_probs[i, t] == pytest.approx(expected, abs=2e-4)
  assert fed.sum() > 10
  again = scores(actor, FEEDBACK, PROMPT, out)
  np.testing.assert_allclose(again.log_probs, out.log_probs, rtol=0, atol=1e-4)


@partial(jax.jit, static_argnums=0)
def step(feedback, actor, keys, out):
  return feedback.step(actor, None, keys, out)


def test_the_noise_is_gumbel_and_the_token_its_largest(actor, key):
  """Independent for every token, although the token is given: for all of the
  vocabulary at once."""
  rows, z = 3000, np.random.default_rng(0).normal(size=(1, VOCAB)) * 2
  token_keys, keys = jax.random.split(key, (2, rows))
  out = tiny.step_out(np.tile(z, (rows, 1)))
  out = out._replace(token=draw(token_keys, out.filtered, out.greedy))
  policy = told(actor, **NO_CLIP, **LATENT_GRPO | {'one_sided': False})
  record = step(gumbel_soft(VOCAB), policy, keys, out).record
  np.testing.assert_array_equal(record['ids'][:, 0], out.token)
  noise = np.zeros((rows, VOCAB))
  np.put_along_axis(noise, np.asarray(record['ids']), record['g'], axis=-1)
  noise -= log_softmax(z)
  mean, std = np.euler_gamma, np.pi / 6**0.5
  assert noise.mean() == pytest.approx(mean, abs=0.02)
  np.testing.assert_allclose(noise.mean(0), mean, atol=5 * std / rows**0.5)
  np.testing.assert_allclose(noise.std(0), std, rtol=0.15)
  at = np.quantile(noise, [0.01, 0.1, 0.5, 0.9, 0.99])
  exact = -np.log(-np.log([0.01, 0.1, 0.5, 0.9, 0.99]))
  np.testing.assert_allclose(at, exact, atol=0.05)
  assert np.abs(np.corrcoef(noise.T) - np.eye(VOCAB)).max() < 0.1
  # The token is a draw of the model's distribution.
  p = np.exp(log_softmax(z))[0]
  share = np.bincount(out.token, minlength=VOCAB) / rows
  np.testing.assert_allclose(share, p, atol=5 * (p.max() / rows) ** 0.5)


@pytest.mark.parametrize(
  'how', [{'temperature': 0.7, 'top_k': 40, 'top_p': 0.9}, {'greedy': True}]
)
def test_cold_and_unclipped_it_is_discrete_decoding(actor, how):
  """Token by token with the same keys: the largest g is the drawn token's."""
  cold = told(actor, temperature=1e-6, **NO_CLIP)
  out = rolled(cold, **how)
  plain = rolled(actor, feedback=FEEDBACKS['discrete'], **how)
  np.testing.assert_array_equal(out.tokens, plain.tokens)
  fed = jax.tree.map(jnp.asarray, (out.record, out.tokens))
  x = np.asarray(FEEDBACK.recompute_inputs(cold, *fed))
  np.testing.assert_array_equal(x[out.mask], actor.table[out.tokens[out.mask]])
  assert out.latent_share.any()
  warm = rolled(told(actor), **how)
  assert (warm.tokens != out.tokens).any()


def test_without_noise_it_is_the_mean_of_the_likeliest(actor, key):
  z = np.random.default_rng(0).normal(size=(2, VOCAB))
  for settings, greedy in (({'scale': 0.0}, False), ({}, True)):
    out = tiny.step_out(z, greedy=np.full(2, greedy))
    policy = told(actor, temperature=1.0, **settings)
    fed = step(FEEDBACK, policy, jax.random.split(key, 2), out)
    p = np.exp(z) * (z >= np.sort(z)[:, -K, None])
    expected = (p / p.sum(-1, keepdims=True)) @ np.float64(actor.table)
    np.testing.assert_allclose(fed.next_input, expected, rtol=0, atol=1e-5)
  silent = rolled(told(actor, scale=0.0))
  assert not silent.log_probs[silent.thinking_mask].any()  # nothing is random


@pytest.mark.parametrize('settings', [{}, LATENT_GRPO], ids=['soft', 'latent'])
def test_the_slope_of_the_score_is_that_of_the_formula(actor, settings):
  """By differences, of the formula in float64; excluded tokens have none."""
  rng = np.random.default_rng(1)
  z = rng.normal(size=VOCAB)
  z[:K] += 3
  g = log_softmax(z)[:K] + rng.gumbel(size=K)
  policy = told(actor, **settings)

  @jax.jit
  @jax.grad
  def slope(z, g, scored):
    record = {'ids': jnp.arange(K)[None], 'g': g, 'scored': scored}
    record |= {'fed': jnp.ones(1, bool)}
    inputs = ScoreInputs(z, z, z, jnp.zeros(1))
    return FEEDBACK.log_prob(policy, inputs, record).sum()

  args = jnp.float32(z)[None], jnp.float32(g)[None], jnp.ones((1, K), bool)
  (actual,) = slope(*args)
  score = lambda z: density(z, g, not settings)
  h = 1e-5
  expected = [
    (score(z + h * e) - score(z - h * e)) / (2 * h) for e in np.eye(VOCAB)
  ]
  np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-5)
  assert np.abs(expected).max() > 0.01
  excluded = jnp.float32([[*g[:2], -1e9, -1e9, -1e9]])
  scored = jnp.array([[True, True, False, False, False]])
  (few,) = slope(args[0], excluded, scored)
  assert np.isfinite(few).all() and few[0] != 0
  if not settings:  # renormalised over the two
    assert not few[2:].any()


def test_excluded_tokens_have_no_weight(actor, key):
  """Where the filters keep fewer tokens than a mixture has."""
  z = np.random.default_rng(2).normal(size=(4, VOCAB))
  how = sampling(temperature=0.7, top_k=2)
  out = tiny.step_out(z, temperature=how.temperature)
  out = out._replace(filtered=distribution(out.logits, how).logits)
  policy = told(actor, temperature=1.0)
  fed = step(FEEDBACK, policy, jax.random.split(key, 4), out)
  record, weights = fed.record, fed.state.weights
  assert ((weights > 0).sum(-1) == 2).all()
  assert (np.asarray(record['scored'])[:, 2:] == 0).all()
  kept = np.sort(np.asarray(record['ids'])[:, :2])
  np.testing.assert_array_equal(kept, np.sort(np.argsort(-z)[:, :2]))


def test_settings_are_traced(actor):
  rolled(actor)
  programs = sample._cache_size()
  for settings in {'temperature': 0.2}, {'scale': 0.5}, LATENT_GRPO:
    again = rolled(told(actor, **settings), stops=STOPS[:2])
    assert again.latent_share.any()
  assert sample._cache_size() == programs


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'temperature': 0.0}, 'temperature=0.0, .*a temperature > 0'),
    ({'scale': -1.0}, 'scale=-1.0, .*a scale >= 0'),
    ({'low': 3.0}, 'low=3.0, .*low < high'),
  ],
)
def test_refused_settings(settings, message):
  with pytest.raises(ValueError, match=message):
    gumbel_noise(None, **settings)
