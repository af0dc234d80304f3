"""The projection of a state as the next input, against torch and by the
book."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hybrid_latent.feedback.projected import (
  Projector,
  projected,
  projection,
  projector,
)
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.rescoring import rescore
from tests import tiny
from tests.scripted import START, recited
from tests.tiny import FEEDBACKS, STEPS, STOPS
from tests.unrolled import unrolled

PROMPT, FEEDBACK = tiny.prompts(), FEEDBACKS['projected']
close = partial(np.testing.assert_allclose, rtol=0, atol=1e-5)


@pytest.fixture(scope='module')
def actor():
  return tiny.policy(0, FEEDBACK)


@pytest.fixture(scope='module')
def out(actor):
  out = tiny.sample(
    actor,
    FEEDBACK,
    PROMPT,
    jax.random.key(8),
    sampling=sampling(),
    stop=tiny.stop(STOPS),
  )
  return jax.tree.map(np.asarray, out)


@pytest.mark.parametrize('norm', [True, False])
@pytest.mark.parametrize('width', [0, 24])
def test_the_network_is_that_of_torch(width, norm, key):
  made = projector(key, tiny.policy(), None, width=width, norm=norm)
  d, e = tiny.CONFIG.width, width or tiny.CONFIG.width
  assert made.expand.shape == (e, d) and made.contract.shape == (d, e)
  noise = lambda x: x + 0.3 * jax.random.normal(key, x.shape)
  made = jax.tree.map(noise, made)  # new norms would hide errors
  layers = [torch.nn.Linear(d, e), torch.nn.GELU(), torch.nn.Linear(e, d)]
  theirs = torch.nn.Sequential(*layers, *[torch.nn.LayerNorm(d)] * norm)
  weights = zip(theirs.state_dict(), jax.tree.leaves(made), strict=True)
  theirs.load_state_dict({n: torch.tensor(np.asarray(x)) for n, x in weights})
  hidden = jax.random.normal(key, (2, 5, d))
  with torch.no_grad():
    expected = theirs(torch.tensor(np.asarray(hidden)))
  close(jax.jit(projection)(made, hidden), expected)
  close(projection(made, hidden[0, 0]), expected[0, 0])


def test_a_new_one_is_as_torch_draws_it(key):
  """Uniform, so that 1/sqrt(in) bounds it and its square is a third of that."""
  made = projector(key, tiny.policy(), None, width=64)
  assert made.norm[0].all() and not made.norm[1].any()
  for x, size in zip(made[:4], (16, 16, 64, 64), strict=True):
    assert jnp.abs(x).max() <= size**-0.5
    assert 0.5 < 3 * size * jnp.square(x).mean() < 1.5


def test_a_state_of_16_bits_is_projected_in_32(actor):
  hidden = jax.random.normal(jax.random.key(0), (9, tiny.CONFIG.width))
  hidden = hidden.astype(jnp.bfloat16)
  found = projection(actor.feedback, hidden)
  assert found.dtype == jnp.bfloat16
  expected = projection(actor.feedback, hidden.astype(jnp.float32))
  assert found.tolist() == expected.astype(jnp.bfloat16).tolist()


def test_each_thought_is_the_projection_of_the_state_before_it(actor, out):
  make = lambda hidden: np.asarray(projection(actor.feedback, hidden))
  feed = lambda i, t, hidden, _: (
    make(jnp.float32(hidden)) if out.thinking_mask[i, t] else None
  )
  states, logits = unrolled(actor, PROMPT, out, feed)
  close(out.record['hidden'][out.thinking_mask], states[out.thinking_mask])
  logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
  scores = np.take_along_axis(logits, out.tokens[..., None], axis=-1)[..., 0]
  close(out.log_probs[out.mask], scores[out.mask])
  assert out.thinking_mask.any() and (out.mask & ~out.thinking_mask).any()


def test_what_it_records_is_the_state_to_the_bit():
  """With an identity for its network but for GELU, which the states of a script
  are too large to notice."""
  eye, nothing = jnp.eye(2), jnp.zeros(2)
  plain = Projector(eye, nothing, eye, nothing, None)
  words = np.full((2, STEPS), 3)
  words[:, 5] = 9, tiny.CLOSE
  out = recited(
    words, projected(), tiny.stop(), vocab=tiny.CONFIG.vocab, parameters=plain
  )
  assert out.thinking_mask.sum(-1).tolist() == [STEPS, 5]
  for i, row in enumerate(words):
    read = START
    for t, word in enumerate(row):
      state = read / 2
      assert out.record['hidden'][i, t].tolist() == [t, pytest.approx(state)]
      assert out.latent_share[i, t] == out.thinking_mask[i, t]
      read = _gelu(state) if out.thinking_mask[i, t] else START + word


def _gelu(x):
  return float(jax.nn.gelu(jnp.float32(x), approximate=False))


def test_the_projector_learns_and_its_inputs_are_constants(actor, out):
  """A gradient through the recorded states would be none of this update."""

  @partial(jax.jit, compiler_options=tiny.QUICK)
  @partial(jax.grad, argnums=(0, 1))
  def gradient(owned, hidden):
    policy = actor._replace(feedback=owned)
    record = out.record | {'hidden': hidden}
    past = jax.tree.map(jnp.asarray, out._replace(record=record))
    return rescore(policy, FEEDBACK, PROMPT, past).log_probs.sum()

  owned, hidden = gradient(actor.feedback, out.record['hidden'])
  assert all(np.abs(g).max() > 1e-3 for g in jax.tree.leaves(owned))
  assert not hidden.any()
