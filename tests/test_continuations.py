"""Given continuations score as sampled ones do."""

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent.continuations import score_continuations
from tests import tiny
from tests.tiny import FEEDBACKS, STOPS


def test_scores_are_those_of_a_rollout():
  """After the latents of a prefix and without, greedily decoded."""
  feedback = FEEDBACKS['prefix']
  actor, prompt = tiny.policy(0, feedback), tiny.prompts()
  out = tiny.rolled(actor, feedback, STOPS, greedy=True)
  score = jax.jit(score_continuations, static_argnums=1)
  tokens, mask = map(jnp.asarray, (out.tokens, out.mask))
  asked = tiny.asked(prompt, feedback)
  found = score(actor, feedback, asked, tokens, mask)
  np.testing.assert_allclose(found.log_probs, out.log_probs, atol=1e-5, rtol=0)
  np.testing.assert_array_equal(found.is_argmax, out.mask)
  assert 0 < out.mask.mean() < 1
  others = jnp.where(tokens < 50, tokens + 1, tokens - 1)
  assert not score(actor, feedback, asked, others, mask).is_argmax[:, 0].any()
