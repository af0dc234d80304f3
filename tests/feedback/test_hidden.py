"""The hidden state as the next input, against decoding without a cache."""

import jax
import numpy as np
import pytest

from hybrid_latent.feedback.hidden import hidden
from hybrid_latent.ops.sampling import sampling
from tests import tiny
from tests.scripted import START, recited
from tests.tiny import STEPS, STOPS
from tests.unrolled import unrolled

PROMPT = tiny.prompts()


@pytest.fixture(scope='module')
def actor():
  return tiny.policy()


@pytest.fixture(scope='module')
def out(actor):
  out = tiny.sample(
    actor,
    hidden(),
    PROMPT,
    jax.random.key(8),
    sampling=sampling(),
    stop=tiny.stop(STOPS),
  )
  return jax.tree.map(np.asarray, out)


def test_each_thought_is_the_state_before_it(actor, out):
  feed = lambda i, t, hidden, _: hidden if out.thinking_mask[i, t] else None
  states, logits = unrolled(actor, PROMPT, out, feed)
  close = lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)
  close(out.record['latent'][out.thinking_mask], states[out.thinking_mask])
  logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
  scores = np.take_along_axis(logits, out.tokens[..., None], axis=-1)[..., 0]
  close(out.log_probs[out.mask], scores[out.mask])
  assert out.thinking_mask.any() and (out.mask & ~out.thinking_mask).any()


def test_it_is_that_state_to_the_bit():
  """And after the thinking the token's embedding."""
  words = np.full((2, STEPS), 3)
  words[:, 5] = 9, tiny.CLOSE
  out = recited(words, hidden(), tiny.stop(), vocab=tiny.CONFIG.vocab)
  assert out.thinking_mask.sum(-1).tolist() == [STEPS, 5]
  for i, row in enumerate(words):
    read = START
    for t, word in enumerate(row):
      state = read / 2
      assert out.record['latent'][i, t].tolist() == [t, state]
      read = state if out.thinking_mask[i, t] else START + word
