"""ParallelLatents by parallel passes, against decoding them in sequence."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.decoding import prefill
from hybrid_latent.feedback.jacobi import (
  ParallelLatents,
  jacobi,
  parallel_latents,
)
from hybrid_latent.feedback.projected import projected
from hybrid_latent.ops.attention import causal_mask, positions
from hybrid_latent.rescoring import prompt_inputs, rescore
from hybrid_latent.types import Mode, Trajectory
from tests import tiny
from tests.tiny import END, FEEDBACKS, QUICK, SLOT, START

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


def in_sequence(policy, feedback):
  """The prefix [u j d], each latent from the whole text before it."""
  ids = jnp.concatenate([SETTINGS.begin, SETTINGS.slots, SETTINGS.closing])
  rows = []
  for tokens, mask in zip(PROMPT.tokens, PROMPT.mask, strict=True):
    text = policy.embed(tokens[mask])
    x = policy.embed(ids)
    for i in range(1, 1 + COUNT):
      read = jnp.concatenate([text, x[:i]])[None]
      at = jnp.arange(read.shape[1])[None]
      state = policy.forward(read, None, at, at[:, :, None] >= at[:, None])[0]
      x = x.at[i].set(feedback.latent_from_hidden(policy, state[0, -1]))
    rows.append(x)
  return jnp.stack(rows)


@pytest.mark.parametrize('inner', INNER)
def test_as_many_passes_as_latents_are_decoding_in_sequence(inner):
  policy, feedback = made(inner, COUNT)
  x, _ = prompt_inputs(policy, feedback, PROMPT)
  prefix = x[:, PROMPT.tokens.shape[1] :]
  expected = in_sequence(policy, feedback)
  np.testing.assert_allclose(prefix, expected, rtol=0, atol=1e-4)
  fewer, _ = prompt_inputs(*made(inner, COUNT - 1), PROMPT)
  gap = np.abs(fewer[:, -COUNT - 2 :] - expected).max((0, 2))
  assert gap[COUNT] > 1e-2  # the last latent needs all passes
  assert gap[[0, 1, 2, COUNT + 1]].max() < 1e-4


def test_the_cache_holds_what_rescoring_computes():
  policy, feedback = made(None, 2)
  ready = prefill(policy, PROMPT, feedback)
  x, mask = prompt_inputs(policy, feedback, PROMPT)
  hidden, _ = policy.forward(x, None, positions(mask), causal_mask(mask))
  np.testing.assert_allclose(ready.hidden, hidden[:, -1], rtol=0, atol=1e-4)


def test_the_gradient_is_that_of_the_passes():
  """By differences, through the latents alone: the answer is one token."""
  policy, feedback = made(None, 2)
  tokens = jnp.arange(3)[:, None] + 7
  nothing = Trajectory(*[None] * 10)._replace(
    tokens=tokens, mask=jnp.ones((3, 1), bool), record={}
  )

  @partial(jax.jit, compiler_options=QUICK)
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
