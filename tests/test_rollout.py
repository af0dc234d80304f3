"""Invariants of sampling, each over every feedback."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.types import Mode
from tests import roles, tiny
from tests.roles import SPANS, forced, inside, latent_inputs, words
from tests.tiny import FEEDBACKS, GROUP, PAD, STEPS, STOPS, sample, stop

PROMPT, NO_STOP, KEY = tiny.prompts(), stop(), jax.random.key(8)
DISCRETE = FEEDBACKS['discrete']
GATED = 'gated', 'gated-published', 'gated-width-0'
FILTERED = {'temperature': 0.7, 'top_k': 40, 'top_p': 0.95, 'min_p': 0.01}
VARIANTS = {*GATED[1:], 'interpolated', 'prefix-of-all', 'projected'}
VARIANTS |= {'switching-soft', 'jacobi', 'multiplex', 'swireasoning'}


@pytest.fixture(params=[name for name in FEEDBACKS if name not in VARIANTS])
def feedback(request):
  return FEEDBACKS[request.param]


@pytest.fixture
def actor(feedback):
  return tiny.policy(0, feedback)


@pytest.fixture
def rolled(actor, feedback):
  """Completions of `tiny.prompts()`, by one program for all settings."""

  def rolled(stop=NO_STOP, policy=actor, prompt=PROMPT, **how):
    out = sample(
      policy, feedback, prompt, KEY, sampling=sampling(**how), stop=stop
    )
    return jax.tree.map(np.asarray, out)

  return rolled


def test_rows_end_at_a_stop_id_or_the_limit(rolled, feedback):
  limit = STEPS - 2
  out = rolled(stop(STOPS, limit))
  assert (
    out.terminated.any() and not out.terminated.all()
  )  # both kinds are judged
  assert len(set(out.lengths.tolist())) > 2
  for i, n in enumerate(out.lengths):
    drawn, rest = np.split(out.tokens[i], [n])
    assert out.mask[i].tolist() == [True] * n + [False] * (STEPS - n)
    assert (rest == PAD).all()
    assert not set(drawn[:-1]) & set(STOPS)
    assert out.terminated[i] == (drawn[-1] in STOPS)
    assert out.terminated[i] or n == limit
    assert (
      not out.log_probs[i, n:].any() and not out.behavior_log_probs[i, n:].any()
    )
    assert (out.log_probs[i, :n] != 0).all()
  assert (out.log_probs <= 0)[words(feedback, out)].all()
  assert out.steps == limit


def test_thinking_lasts_until_the_text_holds_the_delimiter(rolled, feedback):
  out = rolled(stop(STOPS))
  spelled = [*tiny.TEXTS, *[b''] * (tiny.CONFIG.vocab - len(tiny.TEXTS))]
  expected = np.zeros_like(out.mask)
  for i in np.flatnonzero(roles.thinks(feedback, out)):
    text = b''
    for j, token in enumerate(out.tokens[i, : out.lengths[i]]):
      text += spelled[token]
      expected[i, j] = tiny.DELIMITER not in text
  np.testing.assert_array_equal(out.thinking_mask, expected)
  assert (out.mask & ~expected).any() and expected.any()
  latent = latent_inputs(feedback, out)
  np.testing.assert_array_equal(out.latent_share > 0, latent)
  assert latent.any() or feedback in roles.PLAIN
  if feedback is FEEDBACKS['gated']:
    assert (out.latent_share < 1).all()
  else:
    assert (out.latent_share[latent] == 1).all()
  assert (out.policy_mask == out.mask & ~forced(feedback, out)).all()


def test_other_settings_do_not_recompile_and_are_not_stale(rolled):
  first = rolled()
  programs = sample._cache_size()
  assert (rolled(temperature=0.1).tokens != first.tokens).any()
  assert (rolled(temperature=2.0, top_p=0.5).tokens != first.tokens).any()
  assert (rolled(top_k=3, min_p=0.1).tokens != first.tokens).any()
  assert (rolled(greedy=True).tokens != first.tokens).any()
  assert (rolled(greedy_answer=True).tokens != first.tokens).any()
  assert rolled(stop(limit=5)).lengths.tolist() == [5] * len(first.mask)
  assert rolled(stop(limit=STEPS + 1)).steps == STEPS
  assert rolled(stop(first.tokens[:1, 0])).lengths[0] == 1
  assert (
    rolled(stop(delimiter=b'dd')).thinking_mask != first.thinking_mask
  ).any()
  ends = stop(max_thinking_tokens=2, on_truncation=[7, 8], max_answer_tokens=3)
  cut = rolled(ends)
  assert (cut.lengths <= 7).all() and (cut.tokens == first.tokens)[:, :2].all()
  assert sample._cache_size() == programs


def test_an_early_stop_changes_no_token(rolled):
  whole = rolled()
  assert whole.mask.all() and not whole.terminated.any()
  out = rolled(stop(whole.tokens[:, 7]))
  last = np.isin(whole.tokens, whole.tokens[:, 7]).argmax(axis=1)
  mask = np.arange(STEPS) <= last[:, None]
  np.testing.assert_array_equal(out.mask, mask)
  assert out.terminated.all()
  assert out.steps == last.max() + 1 < STEPS
  same_where(mask, out, whole)


def test_a_limit_changes_no_token(rolled):
  out, whole = rolled(stop(limit=4)), rolled()
  same_where(np.arange(STEPS)[None] < 4, out, whole)


def test_a_row_depends_on_no_other_row(rolled):
  """Nor on its place in the batch."""
  before = rolled()
  lengths = np.array(tiny.LENGTHS)
  after = rolled(prompt=tiny.prompts(lengths[[2, 0, 1]], ids=[2, 0, 1]))
  close(rows(after, [2, 3, 4, 5, 0, 1]), before)
  # The same texts under other numbers are other samples.
  prompt = PROMPT._replace(ids=jnp.array([3, 4, 5]))
  assert (rolled(prompt=prompt).tokens != before.tokens).any(axis=1).all()


@pytest.mark.parametrize(
  'feedback',
  ['discrete', 'gated', 'prefix', 'soft', 'switching'],
  indirect=True,
)
def test_a_padded_row_equals_the_row_alone(actor, feedback, rolled):
  """With more siblings, too."""
  how = {'sampling': sampling(**FILTERED), 'stop': stop(STOPS)}
  prompt = tiny.prompts(tiny.LENGTHS[1:2], ids=[1])
  assert prompt.mask.all()
  alone = sample(actor, feedback, prompt, KEY, group=GROUP + 1, **how)
  together = rolled(stop(STOPS), **FILTERED)
  close(rows(alone, [0, 1]), rows(together, [2, 3]))


def test_stages_change_nothing():
  how = {'sampling': sampling(), 'stop': stop(STOPS[:3])}
  args = tiny.policy(), FEEDBACKS['gated'], PROMPT, KEY
  once, cut = sample(*args, **how), sample(*args, cache_stages=3, **how)
  assert once.lengths.max() == STEPS
  close(cut, once)
  assert cut.steps == once.steps


@pytest.mark.parametrize('feedback', GATED, indirect=True)
@pytest.mark.parametrize('decay', [1e4, np.inf])
def test_a_closed_gate_is_discrete_decoding(actor, rolled, decay):
  gate = jax.tree.map(lambda x: x, actor.feedback)
  gate.decay[...] = jnp.full_like(gate.decay[...], decay)
  out = rolled(stop(STOPS), Policy(actor.model, gate), **FILTERED)
  same_as_discrete(out, actor, atol=2e-3)  # published: sqrt(1e-8) of h


def test_thought_that_is_over_is_discrete_decoding(actor, feedback, rolled):
  """Where words and spans alternate: if none begins. Where a prefix may stand
  in its place: if none does."""
  over, prompt = stop(STOPS)._replace(max_thinking_tokens=jnp.int32(0)), PROMPT
  if feedback in SPANS:
    nobody = actor.feedback._replace(start=jnp.int32(-1))
    actor = actor._replace(feedback=nobody)
  if feedback.prefix:
    prompt = PROMPT._replace(mode=jnp.full(3, Mode.NO_THINKING))
  out = rolled(over, actor, prompt, **FILTERED)
  assert not out.thinking_mask.any() and not out.latent_share.any()
  assert (out.policy_mask == out.mask).all()
  same_as_discrete(out, actor, atol=1e-5)


def same_as_discrete(out, actor, atol):
  how = {'sampling': sampling(**FILTERED), 'stop': stop(STOPS)}
  plain = sample(actor, DISCRETE, PROMPT, KEY, **how)
  np.testing.assert_array_equal(out.tokens, plain.tokens)
  np.testing.assert_array_equal(out.mask, plain.mask)
  np.testing.assert_allclose(out.log_probs, plain.log_probs, rtol=0, atol=atol)


def test_the_answer_can_be_greedy(actor, feedback, rolled):
  """And nothing before it changes."""
  out, first = rolled(greedy_answer=True), rolled()
  before = inside(out, roles.thinks(feedback, out))
  likeliest = tiny.logits(actor, feedback, PROMPT, out).argmax(-1)
  greedy = out.tokens == likeliest
  answer = out.policy_mask & ~before
  assert greedy[answer].all() and answer.any()
  if feedback not in (FEEDBACKS['soft'], FEEDBACKS['soft-thinking']):
    assert not greedy[before & out.policy_mask].all()
  same_where(before, out, first)


def test_behaviour_is_the_filtered_distribution(actor, feedback, rolled):
  """Drawn at its own temperature, whatever that of the scores is; a density
  knows neither."""
  out = rolled(score_temperature=1.7, **FILTERED)
  logits = np.float64(tiny.logits(actor, feedback, PROMPT, out))
  scored = words(feedback, out)
  close = lambda x, y: np.testing.assert_allclose(
    x[scored], y[scored], rtol=0, atol=1e-4
  )
  close(
    out.behavior_log_probs, token_log_probs(filtered(logits, **FILTERED), out)
  )
  close(out.log_probs, token_log_probs(logits / 1.7, out))
  if feedback not in roles.JOINT:
    np.testing.assert_array_equal(
      out.log_probs[~scored], out.behavior_log_probs[~scored]
    )
  other = rolled(score_temperature=0.6, **FILTERED)
  np.testing.assert_array_equal(other.tokens, out.tokens)
  np.testing.assert_array_equal(
    other.behavior_log_probs, out.behavior_log_probs
  )
  assert (np.abs(other.log_probs - out.log_probs) > 1e-3)[scored].any()


def filtered(logits, *, temperature, top_k, top_p, min_p):
  """By sorting, in Hugging Face's order."""
  x = logits / temperature
  x[x < np.sort(x, axis=-1)[..., -top_k, None]] = -np.inf
  p = softmax(x)
  order = np.argsort(-p, axis=-1)
  p = np.take_along_axis(p, order, axis=-1)
  kept = np.cumsum(p, axis=-1) - p < top_p
  kept = np.take_along_axis(kept, np.argsort(order, axis=-1), axis=-1)
  p = softmax(np.where(kept, x, -np.inf))
  return np.where(p >= min_p * p.max(-1, keepdims=True), x, -np.inf)


def softmax(x):
  mass = np.exp(x - x.max(-1, keepdims=True))
  return mass / mass.sum(-1, keepdims=True)


def token_log_probs(logits, out):
  p = np.take_along_axis(softmax(logits), out.tokens[..., None], axis=-1)
  with np.errstate(divide='ignore'):  # a forced token may be impossible
    return np.where(out.mask, np.log(p[..., 0]), 0)


def rows(out, index):
  """Those of a trajectory."""
  take = lambda x: np.asarray(x)[np.array(index)]
  return jax.tree.map(take, out._replace(steps=None))


def close(a, b):
  """Equal but for the rounding of floats, and for records of what nobody read:
  they go on until the last row has ended."""

  def shown(out):
    hide = lambda x: (np.asarray(x).T * np.asarray(out.mask).T).T
    record = jax.tree.map(hide, out.record)
    return out._replace(record=record, steps=None)

  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-5),
    shown(a),
    shown(b),
  )


def same_where(mask, a, b):
  """Equal to the last bit at these positions."""
  for name in (
    'tokens',
    'log_probs',
    'behavior_log_probs',
    'thinking_mask',
    'latent_share',
  ):
    x, y = getattr(a, name), getattr(b, name)
    np.testing.assert_array_equal(np.where(mask, x, 0), np.where(mask, y, 0))
