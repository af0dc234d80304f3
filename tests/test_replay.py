"""Invariants of re-scoring, each over every feedback."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.ops.sampling import sampling
from hybrid_latent.replay import replay, trimmed
from hybrid_latent.trees import named_leaves
from tests import tiny
from tests.tiny import FEEDBACKS, GROUP, PAD, STEPS, STOPS, sample, scores

PROMPT = tiny.prompts()
SETTINGS = {
  'plain': {},
  'scored-cold': {'score_temperature': 0.6},
  'filtered-scored-hot': {
    'temperature': 0.7,
    'top_k': 40,
    'top_p': 0.9,
    'min_p': 0.02,
    'score_temperature': 1.5,
  },
}


@pytest.fixture(scope='module')
def actor():
  return tiny.policy()


@pytest.fixture(params=FEEDBACKS)
def feedback(request):
  return FEEDBACKS[request.param]


def rolled(actor, feedback, **how):
  return sample(
    actor,
    feedback,
    PROMPT,
    jax.random.key(1),
    sampling=sampling(**how),
    stop=tiny.stop(STOPS),
  )


@pytest.mark.parametrize('how', SETTINGS.values(), ids=SETTINGS)
def test_log_probs_are_those_of_the_rollout(actor, feedback, how):
  out = rolled(actor, feedback, **how)
  assert 0 < out.mask.mean() < 1
  again = scores(
    actor, feedback, PROMPT, out, how.get('score_temperature', 1.0)
  )
  np.testing.assert_allclose(again.log_probs, out.log_probs, rtol=0, atol=1e-4)
  assert not np.asarray(again.log_probs)[~out.mask].any()
  assert not np.asarray(again.entropy)[~out.mask].any()


def test_another_policy_scores_otherwise(actor, feedback):
  out = rolled(actor, feedback)
  again = scores(tiny.policy(seed=1), feedback, PROMPT, out)
  assert np.abs(again.log_probs - out.log_probs)[out.mask].mean() > 0.1


def test_entropy_is_that_of_the_scored_distribution(actor, feedback):
  out = rolled(actor, feedback)
  x = np.float64(tiny.logits(actor, feedback, PROMPT, out)) / 1.5
  x -= np.log(np.exp(x).sum(-1, keepdims=True))
  expected = np.where(out.mask, -(np.exp(x) * x).sum(-1), 0)
  entropy = scores(actor, feedback, PROMPT, out, 1.5).entropy
  np.testing.assert_allclose(entropy, expected, rtol=0, atol=1e-4)


def test_what_stands_after_the_end_changes_nothing(actor, feedback):
  out = rolled(actor, feedback)
  noise = lambda x: np.where(
    np.expand_dims(out.mask, tuple(range(2, x.ndim))), x, x + 1
  )
  other = out._replace(
    tokens=np.where(out.mask, out.tokens, 7),
    record=jax.tree.map(noise, out.record),
  )
  assert (np.asarray(out.tokens)[~out.mask] == PAD).all()
  expected = scores(actor, feedback, PROMPT, out)
  actual = scores(actor, feedback, PROMPT, other)
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_gradients_are_finite_and_do_not_see_the_padding(actor, feedback):
  """What the discrete feedback does not read gets no gradient."""
  out = rolled(actor, feedback)

  @partial(jax.jit, compiler_options=tiny.QUICK)
  @jax.grad
  def gradient(actor, prompt):
    return replay(actor, feedback, prompt, out).log_probs.sum()

  mine = gradient(actor, PROMPT)
  zero = {n for n, g in named_leaves(mine).items() if not np.any(g)}
  assert zero == (
    {n for n in named_leaves(actor) if n.startswith('feedback.')}
    if feedback is FEEDBACKS['discrete']
    else set()
  )
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(mine))
  tokens = np.where(PROMPT.mask, PROMPT.tokens, 9)
  other = gradient(actor, PROMPT._replace(tokens=tokens))
  jax.tree.map(np.testing.assert_array_equal, other, mine)


@pytest.mark.parametrize('chunk', [1, 5])
def test_the_size_of_chunks_changes_nothing(actor, chunk):
  feedback = FEEDBACKS['gated']
  out = rolled(actor, feedback)
  expected = scores(actor, feedback, PROMPT, out)
  actual = scores(actor, feedback, PROMPT, out, chunk=chunk)
  for x, y in zip(actual, expected, strict=True):
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)


def test_rows_and_columns_score_as_in_the_whole(actor):
  """A micro-batch has a prompt for every row."""
  feedback = FEEDBACKS['gated']
  out = rolled(actor, feedback)
  longest, (start, size) = int(out.lengths.max()) - 1, (2, 3)
  expected = scores(actor, feedback, PROMPT, out).log_probs
  prompt = jax.tree.map(lambda x: jnp.repeat(x, GROUP, axis=0), PROMPT)
  rows = slice(start, start + size)
  part = trimmed(out, longest)._replace(steps=None)
  part = jax.tree.map(lambda x: x[rows], part)._replace(steps=out.steps)
  prompt = jax.tree.map(lambda x: x[rows], prompt)
  actual = scores(actor, feedback, prompt, part).log_probs
  np.testing.assert_allclose(
    actual, expected[rows, :longest], rtol=0, atol=1e-5
  )
  np.testing.assert_array_equal(part.ended, out.ended[rows])
  assert part.steps == out.steps <= STEPS


def test_prompts_of_another_batch_are_refused(actor):
  feedback = FEEDBACKS['discrete']
  out = rolled(actor, feedback)
  prompt = tiny.prompts((2, 2, 2, 2))
  with pytest.raises(ValueError, match='6 completions of 4 prompts'):
    replay(actor, feedback, prompt, out)
