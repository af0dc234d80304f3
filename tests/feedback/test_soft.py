"""Soft Tokens against its formulas in float64 numpy."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hybrid_latent.feedback.soft import SoftTokens, soft, soft_tokens
from hybrid_latent.rescoring import rescore
from hybrid_latent.types import ScoreInputs
from tests import tiny
from tests.roles import inside
from tests.tiny import FEEDBACKS, sample, scores
from tests.unrolled import unrolled

PROMPT = tiny.prompts()
TAU, SIGMA = map(float, tiny.SOFT)
WIDTH = tiny.CONFIG.width
rolled = partial(tiny.rolled, feedback=FEEDBACKS['soft'])


@pytest.fixture(scope='module')
def actor():
  return tiny.policy(0, soft())


def told(actor, temperature, sigma):
  values = SoftTokens(jnp.float32(temperature), jnp.float32(sigma))
  return actor._replace(feedback=values)


def mean_input(actor, logits, tau=TAU):
  """h0 and the distribution it is the mean of."""
  x = np.float64(logits) / tau
  p = np.exp(x - x.max(-1, keepdims=True))
  p /= p.sum(-1, keepdims=True)
  return p @ np.float64(actor.table), p


@jax.jit
def step(actor, keys, out):
  return soft().step(actor, (), keys, out)


@jax.jit
def density(actor, logits, x):
  record = {'latent': x, 'fed': jnp.ones(len(x), bool)}
  inputs = ScoreInputs(x, logits, logits, jnp.zeros(len(x)))
  return soft().log_prob(actor, inputs, record)


def test_a_rollout_is_that_of_the_paper(actor):
  """Inputs, shadow and scores, from noise that is what x has beyond h0."""
  out = rolled(actor)
  thinks, latent = inside(out), out.record['latent']
  feed = lambda i, t, *_: latent[i, t] if thinks[i, t] else None
  _, logits = unrolled(actor, PROMPT, out, feed)
  np.testing.assert_array_equal(out.tokens[thinks], logits.argmax(-1)[thinks])
  assert (out.tokens != logits.argmax(-1))[out.mask & ~thinks].any()
  h0, _ = mean_input(actor, logits)
  noise = (latent - h0)[thinks] / SIGMA
  assert noise.std() == pytest.approx(1, abs=0.1) and thinks.sum() > 20
  close = partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
  close(out.log_probs[thinks], (WIDTH - (noise**2).sum(-1)) / 2)
  words = out.mask & ~thinks
  logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
  expected = np.take_along_axis(logits, out.tokens[..., None], axis=-1)[..., 0]
  close(out.log_probs[words], expected[words])
  # What is said aloud is read without noise.
  fed = jax.tree.map(jnp.asarray, (out.record, out.tokens))
  read = np.asarray(soft().recompute_inputs(actor, *fed))
  np.testing.assert_array_equal(read[words], actor.table[out.tokens[words]])
  np.testing.assert_array_equal(read[thinks], latent[thinks])


def test_the_mean_that_comes_with_the_logits_is_that_of_them(actor, key):
  hidden = jax.random.normal(key, (3, WIDTH))
  logits, mean = jax.jit(soft().unembed)(actor, hidden)
  np.testing.assert_allclose(logits, actor.unembed(hidden), atol=1e-5)
  np.testing.assert_allclose(mean, mean_input(actor, logits)[0], atol=1e-5)
  with_head = actor.model.unembedding + 0.0
  untied = jax.tree.map(lambda x: x, actor.model)
  untied.config = dataclasses.replace(untied.config, tied=False)
  untied.head = nnx.data(nnx.Param(with_head))
  assert soft().unembed(actor._replace(model=untied), hidden)[1] is None


def test_noise_is_normal(actor, key):
  """Another for every row and coordinate, none where all is to be greedy."""
  rows = 2000
  rng = np.random.default_rng(0)
  z = np.tile(rng.normal(size=(1, 96)), (rows, 1))
  h0, _ = mean_input(actor, z[:1])
  keys = jax.random.split(key, rows)
  out = tiny.step_out(z)
  x = np.float64(step(actor, keys, out).next_input)
  noise = x - h0
  assert noise.std() == pytest.approx(SIGMA, rel=0.01)
  np.testing.assert_allclose(noise.std(0), SIGMA, rtol=0.06)
  np.testing.assert_allclose(noise.mean(0), 0, atol=5 * SIGMA / rows**0.5)
  assert np.abs(np.corrcoef(noise.T) - np.eye(WIDTH)).max() < 0.1
  score = np.asarray(density(actor, out.logits, x.astype(np.float32)))
  assert abs(score.mean()) < 5 * (WIDTH / 2 / rows) ** 0.5  # centred
  assert score.std() == pytest.approx((WIDTH / 2) ** 0.5, rel=0.1)
  greedy = out._replace(greedy=jnp.ones(rows, bool))
  np.testing.assert_allclose(
    step(actor, keys, greedy).next_input,
    np.tile(h0, (rows, 1)),
    rtol=0,
    atol=1e-5,
  )


def test_cold_and_without_noise_it_is_greedy_decoding(actor):
  endless = partial(rolled, stops=[])
  expected = endless(actor, feedback=FEEDBACKS['discrete'], greedy=True)
  cold = endless(told(actor, 1e-4, 0.0), greedy_answer=True)
  np.testing.assert_array_equal(cold.tokens, expected.tokens)
  assert len(set(cold.tokens.ravel().tolist())) > 5
  greedy = endless(told(actor, 1e-4, SIGMA), greedy=True)
  np.testing.assert_array_equal(greedy.tokens, expected.tokens)
  noisy = endless(told(actor, 1e-4, SIGMA), greedy_answer=True)
  assert (noisy.tokens != expected.tokens).any()
  assert not cold.log_probs[inside(cold)].any()  # nothing was random


def test_hot_it_is_the_mean_embedding(actor, key):
  out = tiny.step_out(np.random.default_rng(0).normal(size=(2, 96)))
  fed = step(told(actor, 1e9, 0.0), jax.random.split(key, 2), out)
  mean = np.float64(actor.table).mean(0)
  np.testing.assert_allclose(
    fed.next_input, np.tile(mean, (2, 1)), rtol=0, atol=1e-6
  )


@pytest.mark.parametrize('tau', [0.5, 2.0])
def test_the_slope_of_the_score_is_that_of_the_formula(actor, tau):
  """In the logits, in the embedding, and none in x."""
  rng = np.random.default_rng(0)
  z, x = rng.normal(size=(3, 96)), rng.normal(size=(3, WIDTH))
  actor = told(actor, tau, SIGMA)

  @jax.jit
  @partial(jax.grad, argnums=(0, 1, 2))
  def slopes(z, x, model):
    return density(actor._replace(model=model), z, x).sum()

  args = jnp.float32(z), jnp.float32(x), actor.model
  by_logits, by_x, model = slopes(*args)
  h0, p = mean_input(actor, z, tau)
  force = (x - h0) / SIGMA**2
  towards = np.float64(actor.table)[None] - h0[:, None]  # dh0/dz = p (E-h0)/tau
  expected = p * np.einsum('bvd,bd->bv', towards, force) / tau
  np.testing.assert_allclose(by_logits, expected, rtol=1e-3, atol=1e-4)
  expected = np.einsum('bv,bd->vd', p, force)
  np.testing.assert_allclose(
    model.embedding[...], expected, rtol=1e-3, atol=1e-4
  )
  assert not by_x.any()
  # And that it is a slope: by differences, of the formula itself.
  score = lambda z: (-(((x - mean_input(actor, z, tau)[0]) / SIGMA) ** 2)).sum()
  up, down = (score(z + by * np.eye(96)[7]) for by in (1e-4, -1e-4))
  slope = (up - down) / 4e-4
  assert by_logits[:, 7].sum() == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_no_gradient_reaches_the_record(actor):
  out = rolled(actor)

  @partial(jax.jit, compiler_options=tiny.QUICK)
  @jax.grad
  def gradient(trained):
    model, latent = trained
    record = {**out.record, 'latent': latent}
    policy = actor._replace(model=model)
    trajectory = jax.tree.map(jnp.asarray, out._replace(record=record))
    return rescore(policy, soft(), PROMPT, trajectory).log_probs.sum()

  model, latent = gradient((actor.model, jnp.asarray(out.record['latent'])))
  assert out.record['latent'].any() and not latent.any()
  leaves = jax.tree.leaves(model)
  assert all(np.isfinite(x).all() and np.any(x) for x in leaves)


def test_settings_are_traced(actor):
  out = rolled(actor)
  scores(actor, soft(), PROMPT, out)
  programs = sample._cache_size(), scores._cache_size()
  for values in (0.3, SIGMA), (TAU, 0.1), (TAU, 0.0):
    other = told(actor, *values)
    again = rolled(other)
    assert (again.record['latent'] != out.record['latent']).any()
    replayed = scores(other, soft(), PROMPT, again).log_probs
    np.testing.assert_allclose(replayed, again.log_probs, rtol=0, atol=1e-3)
  assert (sample._cache_size(), scores._cache_size()) == programs


def test_sigma_is_a_share_of_the_embedding(actor, key):
  values = soft_tokens(key, actor, temperature=0.25, noise=0.5)
  rms = np.sqrt(np.mean(np.float64(actor.table) ** 2))
  assert values == pytest.approx((0.25, 0.5 * rms), rel=1e-6)
  assert {x.dtype for x in values} == {jnp.dtype('float32')}
  default = soft_tokens(key, actor)
  assert default == pytest.approx((0.5, 0.33 * rms), rel=1e-6)
  half = actor._replace(
    model=jax.tree.map(lambda x: x.astype(jnp.bfloat16), actor.model)
  )
  values = soft_tokens(key, half)
  assert values.sigma.dtype == jnp.float32
  assert values.sigma == pytest.approx(float(default.sigma), rel=1e-2)


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'temperature': 0.0}, 'temperature=0.0, .*a temperature > 0'),
    ({'noise': -1.0}, 'noise=-1.0: .*a noise >= 0'),
  ],
)
def test_refused_settings(actor, key, settings, message):
  with pytest.raises(ValueError, match=message):
    soft_tokens(key, actor, **settings)
