"""Filters against a sort and Hugging Face's warpers; draws against softmax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from hybrid_latent import sharding
from hybrid_latent.ops import sampling as ops
from hybrid_latent.ops.sampling import (
  distribution,
  draw,
  likeliest,
  sampling,
  top_k,
)

SETTINGS = [
  {},
  {'temperature': 0.5},
  {'top_k': 1},
  {'top_k': 50, 'temperature': 0.5},
  {'top_k': 10_000},
  {'top_p': 0.9},
  {'top_p': 1e-6},
  {'min_p': 0.1, 'temperature': 1.5},
  {'top_k': 40, 'top_p': 0.7, 'min_p': 0.05, 'temperature': 0.8},
]
VOCAB = 501

filtered = jax.jit(lambda *given: distribution(*given).logits)


def _logits(key, batch=4, vocab=VOCAB):
  return 3 * jax.random.normal(key, (batch, vocab), jnp.float32)


def _kept_by_sorting(logits, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
  """Which tokens of one row stay: an independent float64 account."""
  p = np.exp((logits - logits.max()) / temperature).astype(np.float64)
  if top_k:
    p[p < np.sort(p)[::-1][min(top_k, len(p)) - 1]] = 0
  if top_p < 1:
    descending = np.sort(p)[::-1]
    reached = np.cumsum(descending) >= top_p * descending.sum()
    p[p < descending[np.argmax(reached)]] = 0
  return (p > 0) & (p >= min_p * p.max())


@pytest.mark.parametrize('settings', SETTINGS)
def test_filters_keep_what_a_sort_keeps(key, settings):
  logits = _logits(key)
  out = np.asarray(filtered(logits, sampling(**settings)))
  kept = np.stack([_kept_by_sorting(x, **settings) for x in np.array(logits)])
  np.testing.assert_array_equal(np.isfinite(out), kept)
  scaled = np.asarray(logits / jnp.float32(settings.get('temperature', 1.0)))
  np.testing.assert_array_equal(out[kept], scaled[kept])


@pytest.mark.parametrize('settings', SETTINGS)
def test_filters_agree_with_hugging_face(key, settings):
  logits = _logits(key)
  temperature = settings.get('temperature', 1.0)
  scores = torch.tensor(np.asarray(logits)) / temperature
  for name, warper in (
    ('top_k', TopKLogitsWarper),
    ('top_p', TopPLogitsWarper),
    ('min_p', MinPLogitsWarper),
  ):
    if name in settings:
      scores = warper(settings[name])(None, scores)
  out = filtered(logits, sampling(**settings))
  np.testing.assert_allclose(out, scores.numpy(), rtol=1e-6)


def test_ties_at_a_threshold_all_stay():
  logits = jnp.log(jnp.array([[0.1, 0.3, 0.3, 0.2, 0.1]]))
  for settings, kept in (
    ({'top_k': 1}, [1, 2]),
    ({'top_k': 3}, [1, 2, 3]),
    ({'top_k': 4}, [0, 1, 2, 3, 4]),
    ({'top_p': 0.2}, [1, 2]),
    ({'top_p': 0.85}, [0, 1, 2, 3, 4]),
  ):
    out = filtered(logits, sampling(**settings))
    assert np.flatnonzero(np.isfinite(out[0])).tolist() == kept, settings


def test_excluded_tokens_stay_excluded(key):
  logits = _logits(key).at[:, ::2].set(-jnp.inf)
  for settings in SETTINGS:
    out = filtered(logits, sampling(**settings))
    assert np.isneginf(out[:, ::2]).all(), settings


@pytest.mark.parametrize('score_temperature', [0.8, 1.0, 1.3])
@pytest.mark.parametrize('settings', SETTINGS)
def test_normalizers_are_those_of_both_distributions(
  key, settings, score_temperature
):
  logits = _logits(key)
  how = sampling(score_temperature=score_temperature, **settings)
  out = jax.jit(distribution)(logits, how)
  kept = np.exp(np.float64(out.logits))
  every = np.exp(np.float64(logits) / score_temperature)
  close = lambda x, y: np.testing.assert_allclose(x, np.log(y.sum(-1)), 1e-6)
  close(out.log_sum_exp, kept)
  close(out.score_log_sum_exp, every)


@pytest.mark.parametrize('settings', SETTINGS)
def test_draws_from_a_known_mass_are_those_from_the_logits(key, settings):
  out = jax.jit(distribution)(_logits(key, 64), sampling(**settings))
  keys = jax.random.split(key, 64)
  tokens = jax.jit(draw)(keys, out.logits, False, out.mass)
  np.testing.assert_array_equal(tokens, jax.jit(draw)(keys, out.logits, False))


@pytest.mark.parametrize('settings', SETTINGS)
def test_the_likeliest_are_sorted_once(key, settings):
  """A small top-k has sorted them; the same tokens, whoever sorts."""
  out = jax.jit(distribution)(_logits(key), sampling(**settings))
  assert out.likeliest.found == (0 < settings.get('top_k', 0) <= 64)
  for k in 1, 50, 65:
    values, tokens = jax.jit(likeliest, static_argnums=2)(
      out.logits, out.likeliest, k
    )
    expected, _ = jax.lax.top_k(out.logits, k)
    np.testing.assert_array_equal(values, expected)
    read = np.take_along_axis(np.asarray(out.logits), np.asarray(tokens), 1)
    np.testing.assert_array_equal(read, expected)
  if out.likeliest.found:  # and is what is read
    none = out.likeliest._replace(token=0 * out.likeliest.token)
    assert not likeliest(out.logits, none, 2)[1].any()


def test_settings_are_traced(key):
  program = jax.jit(lambda *x: distribution(*x).logits)
  for settings in SETTINGS:
    program(_logits(key), sampling(**settings))
  assert program._cache_size() == 1


@pytest.mark.parametrize('vocab', [7, 256, 601])
def test_draws_follow_the_softmax(key, vocab):
  draws = 20_000
  for_logits, for_draws = jax.random.split(key)
  logits = jax.random.normal(for_logits, vocab).at[: vocab // 3].set(-jnp.inf)
  tokens = jax.jit(draw)(
    jax.random.split(for_draws, draws), jnp.tile(logits, (draws, 1)), False
  )
  counts = np.bincount(tokens, minlength=vocab)
  expected = draws * np.asarray(jax.nn.softmax(logits), np.float64)
  possible = expected > 0
  assert counts[~possible].sum() == 0
  statistic = np.sum((counts - expected)[possible] ** 2 / expected[possible])
  freedom = possible.sum() - 1
  # Chi-square has mean f and variance 2 f: five deviations each way, so that
  # draws that are too even fail as well.
  assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


def test_a_token_without_mass_is_never_drawn(monkeypatch):
  """Not even where prefix sums are rounded in a tree, as on a GPU or TPU."""
  tree_sum = lambda x, axis: jax.lax.associative_scan(jnp.add, x, axis=axis)
  monkeypatch.setattr(ops.jnp, 'cumsum', tree_sum)
  random = np.random.default_rng(0)
  mass = random.random((20, 256), np.float32) ** 4
  mass *= random.random(mass.shape) < 0.3
  cumulative = np.asarray(jax.jit(lambda x: tree_sum(x, -1))(mass))
  assert (np.diff(cumulative) < 0).any(), 'the hazard this test is about'
  # Numbers that lead to every step of the sum, and to just below it.
  edge = np.minimum(cumulative / cumulative[:, -1:], np.float32(1 - 2**-23))
  u = np.stack([edge, np.nextafter(edge, np.float32(0))]).reshape(-1)
  mass = np.tile(np.repeat(mass, 256, axis=0), (2, 1))
  index = jax.jit(lambda *x: ops._invert(*x))(mass, u)
  assert (np.take_along_axis(mass, np.asarray(index)[:, None], 1) > 0).all()


def test_greedy_takes_the_first_likeliest(key):
  logits = _logits(key).at[0, 40].set(99).at[0, 70].set(99)
  logits = logits.at[:2, 300].set(99).at[1, 480].set(99)  # another block
  keys = jax.random.split(key, 4)
  tokens = jax.jit(draw)(keys, logits, True)
  assert tokens.dtype == jnp.int32
  np.testing.assert_array_equal(tokens, np.argmax(logits, -1))
  assert tokens[0] == 40


def test_each_row_is_greedy_for_itself(key):
  """Rows whose thinking is over may be, while others still draw."""
  logits, keys = _logits(key, 64), jax.random.split(key, 64)
  drawn = jax.jit(draw)(keys, logits, False)
  greedy = jnp.arange(64) % 3 == 0
  tokens = jax.jit(draw)(keys, logits, greedy)
  largest = np.argmax(logits, -1)
  assert (largest != drawn)[greedy].any()
  np.testing.assert_array_equal(tokens, np.where(greedy, largest, drawn))


def test_a_row_does_not_depend_on_its_batch(key):
  logits, keys = _logits(key, 64), jax.random.split(key, 64)
  how = sampling(top_k=100, top_p=0.9, min_p=0.01)

  @jax.jit
  def tokens(keys, logits):
    return draw(keys, distribution(logits, how).logits, how.greedy)

  whole = tokens(keys, logits)
  for rows in (slice(0, 1), slice(5, 8), slice(20, 52)):
    np.testing.assert_array_equal(tokens(keys[rows], logits[rows]), whole[rows])


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'temperature': 0}, 'temperature is 0: .* greedy=True'),
    ({'top_k': -1}, r'top_k is -1: .* >= 0'),
    ({'top_p': 0}, r'top_p is 0: .* in \(0, 1\]'),
    ({'top_p': 1.1}, r'top_p is 1.1'),
    ({'min_p': 1}, r'min_p is 1: .* in \[0, 1\)'),
    ({'score_temperature': -1.0}, r'score_temperature is -1.0'),
    ({'temperature': float('nan')}, 'temperature is nan'),
  ],
)
def test_errors_say_what_to_write(settings, message):
  with pytest.raises(ValueError, match=message):
    sampling(**settings)


@pytest.mark.parametrize('sizes', [(2, 2, 2), (1, 8, 1), (1, 1, 4, 2)])
def test_top_k_on_a_mesh_is_that_of_one_device(key, sizes):
  """Ties included: the first of equals wins."""
  x = jnp.round(4 * jax.random.normal(key, (8, 96)))
  top = jax.jit(top_k, static_argnums=1)
  expected = top(x, 30)  # more than a part of the vocabulary holds
  with jax.set_mesh(sharding.mesh(*sizes)):
    found = top(x, 30)
  jax.tree.map(np.testing.assert_array_equal, found, expected)
