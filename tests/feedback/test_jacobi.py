"""ParallelLatents by parallel passes, against decoding them in sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.feedback.jacobi import (
  ParallelLatents,
  jacobi,
  parallel_latents,
)
from hybrid_latent.feedback.projected import projected
from hybrid_latent.ops.attention import causal_mask, positions
from hybrid_latent.prompt_cache import prefill
from hybrid_latent.rescoring import prompt_inputs, rescore
from hybrid_latent.types import Mode, Trajectory
from tests import tiny
from tests.tiny import END, FEEDBACKS, SLOT, START, quick
from tests.unrolled import last_state

PROMPT = tiny.prompts()._replace(mode=jnp.full(3, Mode.LATENT))
COUNT = 3
SETTINGS = ParallelLatents(
  *(jnp.array(x, jnp.int32) for x in ([START], [SLOT] * COUNT, [END]))
)
INNER = {
  None: (None, None),
  'projected': (projected(), tiny.PARAMETERS[FEEDBACKS['projected']]),
}


def made(inner, passes):
  inside, parameters = INNER[inner]
  policy = tiny.policy()._replace(feedback=SETTINGS._replace(inner=parameters))
  return policy, jacobi(inside, passes=passes)


inputs = quick(prompt_inputs, static_argnames='feedback')


def in_sequence(policy, feedback):
  """Of each row its inputs up to the prefix [u j d], padded, and their number:
  each latent from the whole text before it."""
  latent = quick(feedback.latent_from_hidden)
  prefix = np.concatenate([SETTINGS.begin, SETTINGS.slots, SETTINGS.closing])
  rows = []
  for row, mask in zip(PROMPT.tokens, PROMPT.mask, strict=True):
    tokens = np.asarray(row)[mask]
    n = int(mask.sum())
    ids = np.zeros(len(row) + len(prefix) + 1, np.int32)
    ids[: n + len(prefix)] = np.concatenate([tokens, prefix])
    x = np.array(policy.embed(ids))[None]
    for i in range(n + 1, n + 1 + COUNT):
      x[0, i] = latent(policy, last_state(policy, x, i)[0])
    rows.append((x, n + len(prefix)))
  return rows


@pytest.mark.parametrize('inner', INNER)
def test_as_many_passes_as_latents_are_decoding_in_sequence(inner):
  policy, feedback = made(inner, COUNT)
  x, _ = inputs(policy, feedback, PROMPT)
  prefix = x[:, PROMPT.tokens.shape[1] :]
  rows = in_sequence(policy, feedback)
  expected = np.stack([x[0, n - prefix.shape[1] : n] for x, n in rows])
  np.testing.assert_allclose(prefix, expected, rtol=0, atol=1e-4)
  fewer, _ = inputs(*made(inner, COUNT - 1), PROMPT)
  gap = np.abs(fewer[:, -COUNT - 2 :] - expected).max((0, 2))
  assert gap[COUNT] > 1e-2  # the last latent needs all passes
  assert gap[[0, 1, 2, COUNT + 1]].max() < 1e-4


def test_other_weights_are_scored_with_their_own_latents():
  """Those of the policy that is trained, not of the one that sampled: several
  updates per rollout have an exact ratio."""
  old, feedback = made(None, COUNT)
  assert feedback.latents_are_actions
  tokens = jnp.arange(6).reshape(3, 2) + 7
  sampled = Trajectory(*[None] * 10)._replace(
    tokens=tokens, mask=jnp.ones((3, 2), bool), record={}
  )
  new = tiny.policy(1)._replace(feedback=old.feedback)
  found, before = (
    np.asarray(tiny.scores(policy, feedback, PROMPT, sampled).log_probs)
    for policy in (new, old)
  )
  assert np.abs(found - before).min() > 1e-2
  for i, (x, n) in enumerate(in_sequence(new, feedback)):
    x[0, n] = new.embed(tokens[i, 0])
    for j in range(2):
      scores = jax.nn.log_softmax(last_state(new, x, n + j)[1])
      assert found[i, j] == pytest.approx(float(scores[tokens[i, j]]), abs=1e-4)


def test_the_cache_holds_what_rescoring_computes():
  policy, feedback = made(None, 2)
  ready = quick(prefill, static_argnames='feedback')(policy, PROMPT, feedback)
  x, mask = inputs(policy, feedback, PROMPT)
  hidden, _ = quick(type(policy).forward)(
    policy, x, None, positions(mask), causal_mask(mask)
  )
  np.testing.assert_allclose(ready.hidden, hidden[:, -1], rtol=0, atol=1e-4)


def test_the_gradient_is_that_of_the_passes():
  """By differences, through the latents alone: the answer is one token."""
  policy, feedback = made(None, 2)
  tokens = jnp.arange(3)[:, None] + 7
  nothing = Trajectory(*[None] * 10)._replace(
    tokens=tokens, mask=jnp.ones((3, 1), bool), record={}
  )

  @quick
  @jax.value_and_grad
  def score(slot):
    table = policy.model.embedding[...].at[SLOT].set(slot)
    place = lambda x: table if x.shape == table.shape else x
    moved = jax.tree.map(place, policy)
    return rescore(moved, feedback, PROMPT, nothing).log_probs.sum()

  start = policy.model.embedding[SLOT]
  gradient = score(start)[1]
  along = gradient / jnp.linalg.norm(gradient)
  up, down = (score(start + by * along)[0] for by in (1e-2, -1e-2))
  slope = (up - down) / 2e-2
  assert float(slope) == pytest.approx(
    float(jnp.linalg.norm(gradient)), rel=0.02
  )
  assert float(slope) > 1e-3


def test_the_settings_are_those_of_the_tokenizer():
  class Tokenizer:
    def get_vocab(self):
      return {'<start-latent>': 3, '<latent>': 4, '<end-latent>': 5}

  found = parallel_latents(None, None, Tokenizer(), num_latents=2)
  assert [x.tolist() for x in found[:3]] == [[3], [4, 4], [5]]
