"""Soft Thinking against the numbers of its release, and by the book."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.data import arithmetic
from hybrid_latent.feedback.soft_thinking import (
  ColdStop,
  cold_stop,
  soft_thinking,
)
from hybrid_latent.ops.sampling import distribution, draw, sampling
from hybrid_latent.policy import Policy
from tests import tiny
from tests.roles import inside
from tests.scripted import Script
from tests.tiny import CLOSE, FEEDBACKS, sample
from tests.unrolled import unrolled

PROMPT, FEEDBACK = tiny.prompts(), FEEDBACKS['soft-thinking']
LOGITS = [2.0, 1.0, 0.5, 0.0, -1.0]
ENTROPY = 0.784721  # of these at temperature 0.6, nats
END = 4
rolled = partial(tiny.rolled, feedback=FEEDBACK)


@pytest.fixture(scope='module')
def actor():
  return tiny.policy(0, FEEDBACK)


def told(actor, end, threshold, patience):
  values = jnp.int32(end), jnp.float32(threshold), jnp.int32(patience)
  return actor._replace(feedback=ColdStop(*values))


@partial(jax.jit, static_argnums=0)
def advance(feedback, policy, count, logits, how):
  """One step of rows that think: what is fed and the token of each."""
  vocab, width = policy.table.shape
  missing = ((0, 0), (0, vocab - logits.shape[1]))
  state = count, None
  logits = jnp.pad(logits, missing, constant_values=-jnp.inf)
  out = tiny.step_out(
    logits,
    filtered=distribution(logits, how).logits,
    temperature=how.temperature,
    hidden=jnp.zeros((len(logits), width)),
  )
  token, free = feedback.select_token(policy, state, out)
  out = out._replace(token=token)
  return feedback.step(policy, state, None, out), token, free


def weights(width, logits=LOGITS, **how):
  """Of the tokens in the concept: the embedding is the identity."""
  model = Script(jnp.zeros((1, 1)), jnp.eye(len(logits)))
  policy = told(Policy(model), END, 0.0, 1)
  logits = jnp.array([logits], jnp.float32)
  count = jnp.zeros(1, jnp.int32)
  feedback = soft_thinking(width)
  fed, _, _ = advance(feedback, policy, count, logits, sampling(**how))
  return np.asarray(fed.next_input[0])


def test_weights_are_those_of_the_release():
  close = partial(np.testing.assert_allclose, rtol=0, atol=2e-6)
  close(
    weights(10, temperature=0.6, top_k=3, top_p=0.95),
    [0.786806, 0.148609, 0.064585, 0, 0],
  )
  close(
    weights(10, temperature=0.6, top_k=30, top_p=0.95, min_p=0.1),
    [0.841131, 0.158869, 0, 0, 0],
  )


@pytest.mark.parametrize('width', [1, 5, 30])
def test_a_concept_has_few_tokens(width):
  logits = np.random.default_rng(0).normal(size=60)
  w = weights(width, list(logits), temperature=0.7)
  p = np.exp(logits / 0.7)
  p[p < np.sort(p)[-width]] = 0
  np.testing.assert_allclose(w, p / p.sum(), rtol=0, atol=1e-6)
  assert (w > 0).sum() == width and w.sum() == pytest.approx(1)


@pytest.mark.parametrize(
  ('threshold', 'count'), [(ENTROPY - 2e-6, 0), (ENTROPY + 2e-6, 1)]
)
def test_entropy_is_taken_before_the_filters(actor, threshold, count):
  policy = told(actor, END, threshold, 9)
  logits, none = jnp.array([LOGITS]), jnp.zeros(1, jnp.int32)
  for filters in {}, {'top_k': 2}, {'top_p': 0.5}:
    how = sampling(temperature=0.6, **filters)
    fed, _, _ = advance(FEEDBACK, policy, none, logits, how)
    assert fed.state[0].tolist() == [count]


def test_the_cold_stop_comes_after_so_many_steps_in_a_row(actor):
  """A single step of high entropy begins the count again."""
  sure, unsure = [9.0, 0, 0, 0, 0], LOGITS
  steps = [sure, sure, unsure, sure, sure, sure]
  policy, count = told(actor, END, 0.1, 3), jnp.zeros(1, jnp.int32)
  tokens = []
  for logits in steps:
    fed, token, free = advance(
      FEEDBACK, policy, count, jnp.array([logits]), sampling()
    )
    count = fed.state[0]
    tokens.append(int(token[0]))
    assert not free.any()
  assert tokens == [0, 0, 0, 0, 0, END]


def test_without_a_threshold_no_certainty_stops_it(actor):
  """Not even where the entropy is 0 but for rounding."""
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(4000, 96)) * rng.uniform(1, 40, (4000, 1))
  logits = jnp.asarray(logits, jnp.float32)
  policy, count = told(actor, END, 0.0, 1), jnp.zeros(4000, jnp.int32)
  fed, token, _ = advance(FEEDBACK, policy, count, logits, sampling())
  assert not fed.state[0].any()
  np.testing.assert_array_equal(token, logits.argmax(-1))


def test_a_rollout_is_that_of_the_paper(actor):
  """Step by step: the likeliest tokens' mean, words after the cold stop."""
  tau, few = 0.8, 5
  out = rolled(actor, temperature=tau)
  thinks = inside(out)
  counts, cold = np.zeros(len(out.mask), int), np.zeros_like(out.mask)
  table = np.float64(actor.table)

  def feed(i, t, _, logits):
    if not thinks[i, t]:
      return None
    p = np.exp((logits - logits.max()) / tau)
    p /= p.sum()
    counts[i] += 1
    counts[i] *= -(p * np.log(p)).sum() < actor.feedback.threshold
    cold[i, t] = counts[i] >= actor.feedback.patience
    p[p < np.sort(p)[-few]] = 0
    return p @ table / p.sum() if out.thinking_mask[i, t] else None

  _, logits = unrolled(actor, PROMPT, out, feed)
  expected = np.where(cold, CLOSE, logits.argmax(-1))
  np.testing.assert_array_equal(out.tokens[thinks], expected[thinks])
  answer = out.mask & ~thinks
  assert cold.any() and (out.tokens != expected)[answer].any()
  assert not out.policy_mask[thinks].any() and out.policy_mask[answer].all()
  logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
  scores = np.take_along_axis(logits, out.tokens[..., None], axis=-1)[..., 0]
  np.testing.assert_allclose(
    out.log_probs[out.mask], scores[out.mask], rtol=0, atol=1e-4
  )
  fed = jax.tree.map(jnp.asarray, (out.record, out.tokens))
  read = FEEDBACK.recompute_inputs(actor, *fed)
  words = out.mask & ~out.thinking_mask  # the end of the thinking is one
  np.testing.assert_array_equal(
    np.asarray(read)[words], actor.table[out.tokens[words]]
  )


@pytest.mark.parametrize(('width', 'top_k'), [(1, 0), (5, 1)])
def test_a_concept_of_one_token_is_greedy_decoding(actor, width, top_k):
  never = told(actor, CLOSE, 0.0, 1)
  endless = partial(rolled, stops=[], top_k=top_k)
  out = endless(never, feedback=soft_thinking(width=width), greedy_answer=True)
  plain = endless(actor, feedback=FEEDBACKS['discrete'], greedy=True)
  np.testing.assert_array_equal(out.tokens, plain.tokens)
  np.testing.assert_allclose(out.log_probs, plain.log_probs, rtol=0, atol=1e-5)
  assert out.latent_share.any()


@partial(jax.jit, static_argnums=0)
def concepts(feedback, policy, keys, out):
  """The weights of each row's concept: the embedding is the identity."""
  return feedback.step(
    policy, (jnp.zeros(len(keys)), None), keys, out
  ).next_input


def drawn(noise, key, rows=4000, width=5, **settings):
  """Weights of concepts, each beside its token, and their log-probs."""
  token_keys, keys = jax.random.split(key, (2, rows))
  out = tiny.step_out(np.tile([LOGITS], (rows, 1)))
  token = draw(token_keys, out.filtered, out.greedy)
  out = out._replace(token=token, hidden=out.logits)  # of the embedding's width
  model = Script(jnp.zeros((1, 1)), jnp.eye(len(LOGITS)))
  policy = told(Policy(model), END, 0.0, 1)
  policy = policy._replace(feedback=policy.feedback._replace(**settings))
  x = concepts(soft_thinking(width, noise), policy, keys, out)
  p = np.exp(LOGITS) / np.exp(LOGITS).sum()
  return np.float64(x), np.asarray(out.token), p


def test_gumbel_noise_is_that_of_its_token(key):
  """The difference of two perturbed log-probs is logistic, whose quantiles are
  known, and the token has the largest."""
  tau = 0.5
  weights, token, p = drawn('gumbel', key, temperature=tau)
  np.testing.assert_array_equal(weights.argmax(1), token)
  for i, j in ((0, 1), (2, 4)):
    gaps = tau * np.log(weights[:, i] / weights[:, j]) - np.log(p[i] / p[j])
    levels = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    share = (gaps[:, None] < np.log(levels / (1 - levels))).mean(0)
    np.testing.assert_allclose(share, levels, atol=4 * 0.5 / len(gaps) ** 0.5)


@pytest.mark.parametrize(('concentration', 'width'), [(1.0, 5), (20.0, 3)])
def test_dirichlet_weights_have_its_moments(key, concentration, width):
  """Of a few likeliest tokens, the Dirichlet of their own counts."""
  weights, token, p = drawn(
    'dirichlet', key, width=width, concentration=concentration
  )
  counts = concentration * p[:width]
  mean, total = counts / counts.sum(), counts.sum()
  var = mean * (1 - mean) / (total + 1)
  few = weights[:, :width]
  np.testing.assert_allclose(few.sum(1), 1, rtol=1e-5)
  gap = np.abs(few.mean(0) - mean) / np.sqrt(var / len(weights))
  assert gap.max() < 5
  np.testing.assert_allclose(few.var(0)[:2], var[:2], rtol=0.1)
  # The token is a sample of the weights.
  inside = token < width
  own = few[inside, token[inside]].mean()
  np.testing.assert_allclose(own, (mean**2 + var).sum(), rtol=0.05)


def test_without_randomness_it_is_plain_soft_thinking(actor):
  """Many counts are certain, and greedy steps have no noise."""
  plain = rolled(actor, greedy=True)
  certain = actor.feedback._replace(concentration=jnp.float32(1e12))
  for noise, settings in (('gumbel', actor.feedback), ('dirichlet', certain)):
    random = soft_thinking(5, noise)
    policy = actor._replace(feedback=settings)
    same = rolled(policy, feedback=random, greedy=True)
    np.testing.assert_array_equal(same.tokens, plain.tokens)
    np.testing.assert_allclose(same.log_probs, plain.log_probs, atol=1e-5)
    drawn = rolled(policy, feedback=random)
    assert (drawn.tokens != plain.tokens).any()


def test_cold_gumbel_noise_is_discrete_decoding(actor):
  cold = actor.feedback._replace(threshold=0.0, temperature=jnp.float32(1e-6))
  out = rolled(
    actor._replace(feedback=cold), feedback=soft_thinking(96, 'gumbel')
  )
  plain = rolled(actor, feedback=FEEDBACKS['discrete'])
  np.testing.assert_array_equal(out.tokens, plain.tokens)
  np.testing.assert_allclose(out.log_probs, plain.log_probs, rtol=0, atol=1e-5)


def test_a_random_rollout_is_rescored(actor):
  feedback = soft_thinking(5, 'dirichlet')
  out = rolled(actor, feedback=feedback)
  again = tiny.scores(actor, feedback, PROMPT, out)
  np.testing.assert_allclose(again.log_probs, out.log_probs, rtol=0, atol=1e-4)


def test_settings_are_traced(actor):
  first = rolled(actor)
  programs = sample._cache_size()
  for values in (7, 4.2, 3), (CLOSE, 0.0, 3), (CLOSE, 4.2, 1):
    assert (rolled(told(actor, *values)).tokens != first.tokens).any()
  assert sample._cache_size() == programs


def test_the_end_is_a_token_of_the_tokenizer(key):
  tokenizer = arithmetic.tokenizer()
  values = cold_stop(key, None, tokenizer, end=' ####', threshold=0.1)
  assert tokenizer.decode([int(values.end)]) == ' ####'
  assert values[1:] == pytest.approx((0.1, 256, 0.5, 1.0))
  assert cold_stop(key, None, tokenizer, threshold=0.0).threshold == 0


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({}, r"end='</think>' is \d tokens: write .* or threshold=0"),
    ({'end': ' ####', 'threshold': -1.0}, 'threshold=-1.0, .*>= 0 in nats'),
    ({'end': ' ####', 'patience': 0}, 'patience=0: .*a patience >= 1'),
  ],
)
def test_refused_settings(key, settings, message):
  with pytest.raises(ValueError, match=message):
    cold_stop(key, None, arithmetic.tokenizer(), **settings)
