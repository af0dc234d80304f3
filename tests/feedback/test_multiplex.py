"""Multiplex Thinking against its formulas in float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.feedback.multiplex import multiplex
from hybrid_latent.ops.sampling import draw
from hybrid_latent.types import ScoreInputs
from tests import tiny
from tests.tiny import FEEDBACKS, scores
from tests.unrolled import unrolled

PROMPT, VOCAB = tiny.prompts(), tiny.CONFIG.vocab
FILTERED = {'temperature': 0.7, 'top_k': 40, 'top_p': 0.9}


@pytest.fixture(scope='module')
def actor():
  return tiny.policy()


def log_softmax(x):
  return x - np.logaddexp.reduce(np.float64(x), axis=-1, keepdims=True)


@pytest.mark.parametrize('weighted', [False, True])
def test_a_rollout_is_that_of_the_paper(actor, weighted):
  """Inputs are means of the drawn embeddings, scores sums at the score
  temperature."""
  feedback = multiplex(3, weighted)
  out = tiny.rolled(
    actor, feedback, temperature=0.8, score_temperature=0.6, stops=[]
  )
  ids, fed = out.record['ids'], out.record['fed'] & out.mask
  np.testing.assert_array_equal(fed, out.thinking_mask)
  np.testing.assert_array_equal(ids[..., 0][fed], out.tokens[fed])

  def feed(i, t, _, logits):
    log_p = log_softmax(logits / 0.8)[ids[i, t]] * weighted
    w = np.exp(log_p) / np.exp(log_p).sum()
    return w @ np.float64(actor.table)[ids[i, t]] if fed[i, t] else None

  _, logits = unrolled(actor, PROMPT, out, feed)
  for name, tau in ('log_probs', 0.6), ('behavior_log_probs', 0.8):
    log_p = np.take_along_axis(log_softmax(logits / tau), ids, axis=-1)
    expected = np.where(fed, log_p.sum(-1), log_p[..., 0])
    np.testing.assert_allclose(
      getattr(out, name)[out.mask], expected[out.mask], rtol=0, atol=2e-4
    )
  again = scores(actor, feedback, PROMPT, out, 0.6)
  np.testing.assert_allclose(again.log_probs, out.log_probs, rtol=0, atol=1e-4)
  assert (ids[fed][:, 1] != ids[fed][:, 0]).any() and fed.sum() > 10


@pytest.mark.parametrize('weighted', [False, True])
def test_one_token_is_discrete_decoding(actor, weighted):
  """To the last bit in tokens, inputs and scores; two programs may round a
  log-prob otherwise."""
  feedback = multiplex(1, weighted)
  out = tiny.rolled(actor, feedback, **FILTERED)
  plain = tiny.rolled(actor, FEEDBACKS['discrete'], **FILTERED)
  np.testing.assert_array_equal(out.tokens, plain.tokens)
  np.testing.assert_allclose(out.log_probs, plain.log_probs, rtol=0, atol=1e-5)
  record, tokens = jax.tree.map(jnp.asarray, (out.record, out.tokens))
  x = feedback.recompute_inputs(actor, record, tokens)
  np.testing.assert_array_equal(x[out.mask], actor.table[out.tokens[out.mask]])
  logits = tiny.logits(actor, feedback, PROMPT, out)
  inputs = ScoreInputs(x, logits, logits, jnp.asarray(out.log_probs))
  score = feedback.log_prob(actor, inputs, record)
  np.testing.assert_array_equal(score, out.log_probs)
  assert out.latent_share.any()


def test_greedy_rows_read_the_likeliest_token(actor):
  out = tiny.rolled(actor, FEEDBACKS['multiplex'], greedy=True)
  plain = tiny.rolled(actor, FEEDBACKS['discrete'], greedy=True)
  np.testing.assert_array_equal(out.tokens, plain.tokens)


def test_draws_are_independent_and_of_the_distribution(actor, key):
  rows = 8000
  z = np.full((1, VOCAB), -np.inf)
  z[0, :4] = 1.0, 0.5, 0.0, -1.0
  token_keys, keys = jax.random.split(key, (2, rows))
  out = tiny.step_out(np.tile(z, (rows, 1)))
  out = out._replace(token=draw(token_keys, out.filtered, out.greedy))
  step = jax.jit(lambda keys, out: multiplex(3).step(actor, None, keys, out))
  ids = np.asarray(step(keys, out).state.ids)
  p = np.exp(log_softmax(z[0, :4]))
  for a, b in (0, 1), (0, 2), (1, 2):
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (ids[:, a], ids[:, b]), 1 / rows)
    np.testing.assert_allclose(pairs, np.outer(p, p), atol=0.02)


def test_the_slope_of_the_score_is_that_of_the_formula(actor):
  """By differences; a token drawn twice counts twice."""
  z, ids = np.random.default_rng(0).normal(size=VOCAB), np.array([7, 3, 7])

  @jax.jit
  @jax.grad
  def slope(z):
    log_p = jax.nn.log_softmax(z)[:, 7]
    weights, fed = jnp.full((1, 3), 1 / 3), jnp.ones(1, bool)
    record = {'ids': jnp.array([ids]), 'weights': weights, 'fed': fed}
    inputs = ScoreInputs(z, 9 * z, z, log_p)
    return multiplex(3).log_prob(actor, inputs, record).sum()

  score = lambda z: log_softmax(z)[ids].sum()
  h = 1e-5
  expected = [
    (score(z + h * e) - score(z - h * e)) / (2 * h) for e in np.eye(VOCAB)
  ]
  actual = slope(jnp.float32(z)[None])[0]
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_the_embedding_is_trained_through_the_mean(actor):
  ids, weights = jnp.array([[[7, 3]]]), jnp.array([[[0.25, 0.75]]])
  fed = jnp.ones((1, 1), bool)
  record = {'ids': ids, 'weights': weights, 'fed': fed}

  @jax.jit
  @jax.grad
  def slope(model):
    policy = actor._replace(model=model)
    tokens = jnp.array([[7]])
    return multiplex(2).recompute_inputs(policy, record, tokens).sum()

  table = np.asarray(slope(actor.model).embedding[...])
  assert table[:, 0].nonzero()[0].tolist() == [3, 7]
  np.testing.assert_allclose(table[[7, 3], 0], [0.25, 0.75])
