"""Rescoring with the gradient through the latents, against decoding again."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.dtypes import float0

from hybrid_latent.ops.attention import causal_mask, positions
from hybrid_latent.rescoring import rescore
from tests import tiny
from tests.tiny import FEEDBACKS, GROUP, QUICK, STEPS, rolled

PROMPT = tiny.prompts()
feedbacks = pytest.mark.parametrize(
  'name', ['hidden', 'projected', 'switching']
)


def made(name, seed=0):
  feedback = FEEDBACKS[name]
  actor = tiny.policy(0, feedback)
  out = jax.tree.map(jnp.asarray, rolled(actor, feedback))
  return feedback, tiny.policy(seed, feedback), out


def decoded(policy, feedback, out):
  """The log-probs of its tokens, each latent from the state before it, one
  position after the other."""
  rows = lambda x: jnp.repeat(x, GROUP, axis=0)
  before, p = rows(PROMPT.mask), PROMPT.mask.shape[1]
  mask = jnp.concatenate([before, out.mask], axis=1)
  layout = positions(mask), causal_mask(mask)
  embedded = policy.embed(
    jnp.concatenate([rows(PROMPT.tokens), out.tokens], axis=1)
  )

  def step(x, t):
    at = p + t - 1
    state = policy.forward(x, None, *layout)[0][:, at]
    scored = jax.nn.log_softmax(policy.unembed(state))
    score = jnp.take_along_axis(scored, out.tokens[:, t, None], axis=1)[:, 0]
    latent = feedback.latent_from_hidden(policy, state)
    fed = (out.latent_share[:, t] > 0)[:, None]
    following = jnp.where(fed, latent, x[:, at + 1])
    return x.at[:, at + 1].set(following), score

  _, scores = jax.lax.scan(step, embedded, jnp.arange(STEPS))
  return jnp.where(out.mask, scores.T, 0)


@partial(
  jax.jit, static_argnames=('feedback', 'passes'), compiler_options=QUICK
)
@partial(jax.value_and_grad, has_aux=True, allow_int=True)
def ours(policy, feedback, out, passes):
  scores = rescore(policy, feedback, PROMPT, out, latent_passes=passes)
  return weighted(scores.log_probs), scores.log_probs


@partial(jax.jit, static_argnames='feedback', compiler_options=QUICK)
@partial(jax.value_and_grad, has_aux=True, allow_int=True)
def theirs(policy, feedback, out):
  log_probs = decoded(policy, feedback, out)
  return weighted(log_probs), log_probs


def weighted(log_probs):
  """Advantages of both signs."""
  return jnp.sum(log_probs * jnp.cos(jnp.arange(len(log_probs)))[:, None])


def flat(gradient):
  """Of all parameters; settings that are numbers of tokens have none."""
  leaves = [x for x in jax.tree.leaves(gradient) if x.dtype != float0]
  return np.concatenate([np.ravel(x) for x in leaves])


close = partial(np.testing.assert_allclose, rtol=1e-3)


@feedbacks
def test_with_a_pass_per_latent_it_is_decoding_again(name):
  """In values and in gradients, for the policy that sampled it and for another
  one, whose latents are others."""
  for seed in 0, 1:
    feedback, policy, out = made(name, seed)
    most = int((out.latent_share > 0).sum(1).max())
    assert 1 < most <= STEPS
    (_, expected), gradient = theirs(policy, feedback, out)
    (_, actual), mine = ours(policy, feedback, out, STEPS)
    close(actual, expected, atol=1e-4)
    close(flat(mine), flat(gradient), atol=1e-3)
    recorded = tiny.scores(policy, feedback, PROMPT, out).log_probs
    same = np.allclose(recorded, expected, atol=1e-3)
    assert same == (seed == 0)  # as recorded, they are those of the sampler


@feedbacks
def test_each_pass_lets_the_gradient_through_one_more_latent(name):
  """None is what constants have, one less than all; more than all changes
  nothing."""
  feedback, policy, out = made(name)
  most = int((out.latent_share > 0).sum(1).max())
  found = {
    passes: flat(ours(policy, feedback, out, passes)[1])
    for passes in (0, 1, most, STEPS)
  }
  gap = {n: np.abs(x - found[STEPS]).max() for n, x in found.items()}
  assert gap[most] < 1e-3 < min(gap[0], gap[1])
  assert np.abs(found[0] - found[1]).max() > 1e-3


def test_it_is_the_slope_of_decoding():
  """By differences, along the gradient of one matrix."""
  feedback, policy, out = made('hidden')
  (_, _), mine = ours(policy, feedback, out, STEPS)
  gradient = mine.model.embedding[...]
  along = gradient / jnp.linalg.norm(gradient)

  def value(by):
    moved = policy.model.embedding[...] + by * along
    return float(theirs(replaced(policy, moved), feedback, out)[0][0])

  slope = (value(1e-2) - value(-1e-2)) / 2e-2
  assert slope == pytest.approx(float(jnp.linalg.norm(gradient)), rel=0.02)


def replaced(policy, embedding):
  flat, tree = jax.tree.flatten(policy)
  old = policy.model.embedding[...]
  same = [x.shape == old.shape and bool((x == old).all()) for x in flat]
  assert sum(same) == 1
  return tree.unflatten(
    [embedding if is_it else x for is_it, x in zip(same, flat, strict=True)]
  )


def test_latents_that_are_no_function_of_the_state_are_refused():
  feedback, policy, out = made('gated')
  with pytest.raises(ValueError, match='latent_from_hidden is None'):
    rescore(policy, feedback, PROMPT, out, latent_passes=1)
