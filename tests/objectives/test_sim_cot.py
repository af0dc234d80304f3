"""SIM-CoT's decoder by hand, and the gradient that reaches a latent through
it."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent import latents
from hybrid_latent.feedback.hidden import hidden
from hybrid_latent.objectives.sim_cot import decoder, sim_cot
from hybrid_latent.objectives.supervised import (
  SupervisedInputs,
  loss_weights,
  weighted_cross_entropy,
)
from hybrid_latent.policy import positions_and_mask
from hybrid_latent.types import TokenBatch
from tests import tiny
from tests.tiny import SLOT, quick

LATENTS = 2, 3, 4  # of the first text: the third is explained by its end alone
# Of each of the decoder's texts: its latents, its tokens.
SAID = ((2, (11, 12, 13)), (1, (14, 15)))


def texts() -> TokenBatch:
  """One row: a text with three latents, what the decoder says, padding."""
  tokens = [7, 8, *[SLOT] * 3, 9, 10]
  view, weights = [0] * 7, [0, 0, 0, 0, 0, 1.0, 1.0]
  marked = [False] * 7
  for i, (count, words) in enumerate(SAID, 2):
    tokens += [*[SLOT] * count, *words]
    view += [i] * (count + len(words))
    weights += [*[0.0] * count, *[1.0] * len(words)]
    marked += [*[True] * count, *[False] * len(words)]
  one = lambda x, kind: jnp.asarray([[*x, *[0] * 3]], kind)
  slots = np.array(tokens) == SLOT
  return TokenBatch(
    tokens=one(tokens, jnp.int32),
    segments=one(np.array(view) + 1 - (np.array(view) > 0), jnp.int32),
    view=one(view, jnp.int32),
    weights=one(weights, jnp.float32),
    latent=one(slots & ~np.array(marked), bool),
    align_position=one(marked, bool),
  )


TEXTS = texts()
POLICY = tiny.policy()
POLICY = POLICY._replace(
  feedback=None, objective=decoder(jax.random.key(0), POLICY, layers=1)
)


def inputs_of(policy, x, slices=1) -> SupervisedInputs:
  return SupervisedInputs(
    policy,
    TEXTS,
    x,
    positions_and_mask(policy, TEXTS.segments),
    loss_weights(TEXTS),
    slices,
    lambda model, states: latents.score_tokens(model, TEXTS, states),
  )


def read(policy):
  made = hidden().latent_from_hidden
  return latents.inputs_with_latents(policy, TEXTS, made, passes=len(LATENTS))


@pytest.fixture(scope='module')
def x():
  return quick(read)(POLICY)


@partial(jax.jit, static_argnames='weight')
def losses(policy, x, weight):
  loss, metrics = sim_cot(inputs_of(policy, x), weight=weight)
  return loss.value, {name: mean.value for name, mean in metrics.items()}


def test_it_says_each_step_from_its_latents(x):
  """Text by text, alone: the latents, then the words before each."""
  nats = []
  slots = iter(LATENTS)
  longest = max(count + len(words) for count, words in SAID)
  at, past = jnp.arange(longest)[None], jnp.tri(longest, dtype=bool)[None]
  forward = quick(type(POLICY.objective).forward)
  for count, words in SAID:
    states = [np.asarray(x)[0, next(slots)] for _ in range(count)]
    given = np.zeros((1, longest, x.shape[-1]), np.float32)
    text = np.stack([*states, *np.asarray(POLICY.table)[list(words)]])
    given[0, : len(text)] = text
    states, _ = forward(POLICY.objective, given, None, at, past)
    logits = np.asarray(POLICY.objective.unembed(states)[0], np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nats += [-log_probs[count - 1 + i, word] for i, word in enumerate(words)]
  base, _ = losses(POLICY, x, 0.0)
  loss, metrics = losses(POLICY, x, 0.5)
  assert len(nats) == 5
  assert float(metrics['decoder_loss']) == pytest.approx(
    np.mean(nats), rel=1e-5
  )
  assert float(loss) == pytest.approx(
    float(base) + 0.5 * np.mean(nats), rel=1e-5
  )


def test_weight_0_is_the_loss_inside_bit_for_bit(x):
  step = lambda loss: quick(
    jax.value_and_grad(lambda x: loss(inputs_of(POLICY, x))[0].value)
  )(x)
  found, expected = (
    step(partial(sim_cot, weight=0.0)),
    step(weighted_cross_entropy),
  )
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  # The policy is not scored on what the decoder says.
  others = TEXTS._replace(weights=jnp.where(TEXTS.view > 1, 0, TEXTS.weights))
  alone = inputs_of(POLICY, x)._replace(texts=others)
  alone = alone._replace(loss_weights=loss_weights(others))
  loss = quick(lambda x: weighted_cross_entropy(alone._replace(x=x))[0].value)
  assert float(loss(x)) == pytest.approx(float(expected[0]), rel=1e-6)


def test_a_latent_gets_the_gradient_of_its_step(x):
  """Finite differences of the decoder's loss, as far as each latent is read."""
  of_decoder = lambda x: losses(POLICY, x, 0.5)[1]['decoder_loss']
  slope = quick(jax.grad(of_decoder))(x)
  reached = np.abs(slope[0]).sum(-1) > 0
  words = (TEXTS.view[0] > 1) & ~TEXTS.align_position[0]
  last = np.array([7 + 2 + 3 - 1, 7 + 2 + 3 + 1 + 2 - 1])  # predict nothing
  expected = np.array(words | TEXTS.latent[0])
  expected[last] = False
  np.testing.assert_array_equal(reached, expected)
  direction = jax.random.normal(jax.random.key(2), x.shape)
  direction = jnp.where(TEXTS.latent[..., None], direction, 0)
  eps = 1e-2
  ends = [of_decoder(x + step * direction) for step in (eps, -eps)]
  assert float(ends[0] - ends[1]) / (2 * eps) == pytest.approx(
    float(jnp.vdot(slope, direction)), rel=2e-2
  )


def test_the_policy_learns_through_its_latents():
  def of_decoder(policy):
    return losses(policy, read(policy), 0.5)[1]['decoder_loss']

  gradient = quick(jax.grad(of_decoder))(POLICY)
  assert np.abs(gradient.model.layers.q.weight[...]).sum() > 0
  assert np.abs(gradient.objective.layers.q.weight[...]).sum() > 0


def test_a_decoder_is_a_copy_of_as_many_layers():
  assert POLICY.objective.config == dataclasses.replace(tiny.CONFIG, layers=1)
  whole = decoder(jax.random.key(0), POLICY)
  for ours, theirs in zip(
    jax.tree.leaves(whole), jax.tree.leaves(POLICY.model), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)
  np.testing.assert_array_equal(
    POLICY.objective.layers.q.weight[...],
    POLICY.model.layers.q.weight[...][:1],
  )
  with pytest.raises(ValueError, match='layers=3: write at most 2'):
    decoder(jax.random.key(0), POLICY, layers=3)


def test_without_a_decoder_it_is_refused(x):
  with pytest.raises(
    ValueError, match=r"write config\.objective\.init='sim_cot"
  ):
    sim_cot(inputs_of(POLICY._replace(objective=None), x))
