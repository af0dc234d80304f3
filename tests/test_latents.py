"""Latents that carry gradient, against decoding by the book."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent import latents
from hybrid_latent.feedback.projected import projected, projector
from hybrid_latent.policy import positions_and_mask
from hybrid_latent.types import TokenBatch
from tests import tiny
from tests.tiny import FEEDBACKS, QUICK, SLOT

# Of each row its texts, and of each text where its latents are: spans of
# several lengths at several places, next to each other, at the end, none.
ROWS = (
  ((9, (2, 3, 6)), (7, (1, 2, 3, 4))),
  ((5, ()), (4, (3,)), (7, (2, 4, 5))),
)
WIDTH, LONGEST, MOST = 20, 9, 4


def texts() -> TokenBatch:
  rng, shape = np.random.default_rng(0), (len(ROWS), WIDTH)
  tokens = rng.integers(0, 85, shape).astype(np.int32)
  segments, latent = np.zeros(shape, np.int32), np.zeros(shape, bool)
  for i, row in enumerate(ROWS):
    at = 0
    for number, (length, slots) in enumerate(row, 1):
      segments[i, at : at + length] = number
      latent[i, [at + slot for slot in slots]] = True
      at += length
  tokens[latent] = SLOT
  first = segments != np.roll(segments, 1, axis=1)
  weights = np.where((segments > 0) & ~latent & ~first, 1.0, 0.0)
  return TokenBatch(
    *map(jnp.asarray, (tokens, segments, np.zeros(shape, np.int32))),
    jnp.asarray(weights, jnp.float32),
    *map(jnp.asarray, (latent, np.zeros(shape, bool))),
  )


TEXTS = texts()


def speakers():
  """Policies, and how they make latents."""
  policy = tiny.policy()
  bare = policy._replace(feedback=None)
  owned = projector(jax.random.key(0), bare, None, width=24)
  return {
    'hidden': (policy, FEEDBACKS['hidden'].latent_from_hidden),
    'projected': (
      policy._replace(feedback=owned),
      projected().latent_from_hidden,
    ),
  }


SPEAKERS = speakers()
speaks = pytest.mark.parametrize('name', SPEAKERS)


@jax.jit
def forward(policy, x):
  layout = positions_and_mask(policy, TEXTS.segments)
  return policy.forward(x, None, *layout)[0]


@partial(jax.jit, static_argnames='logits_chunk', compiler_options=QUICK)
def score(policy, texts, x, logits_chunk=128):
  return latents.score_tokens(
    policy, texts, forward(policy, x), logits_chunk=logits_chunk
  )


@jax.jit
def loss_of(policy, x):
  """Whatever depends on all that is read."""
  hidden, _ = policy.forward(
    x, None, *positions_and_mask(policy, TEXTS.segments)
  )
  scores = latents.score_tokens(policy, TEXTS, hidden, logits_chunk=7)
  return -jnp.sum(TEXTS.weights * scores.log_probs)


@cache
def refined(name, passes=MOST, bptt_steps=0):
  """Loss, inputs, and the gradient of every parameter."""
  policy, make = SPEAKERS[name]

  def loss(policy):
    x = latents.inputs_with_latents(
      policy, TEXTS, make, passes=passes, bptt_steps=bptt_steps
    )
    return loss_of(policy, x), x

  run = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICK)
  return numbers(*run(policy))


def numbers(loss, gradient):
  return jax.tree.map(np.asarray, (*loss, jax.tree.leaves(gradient)))


def by_steps(name):
  """Each latent from all that stands before it, text by text, one after the
  other."""
  policy, make = SPEAKERS[name]

  @jax.jit
  def latent(policy, text, slot):
    """What the position before makes; those behind are in the future."""
    at, past = (
      jnp.arange(LONGEST)[None],
      jnp.tril(jnp.ones((1, LONGEST, LONGEST))),
    )
    hidden, _ = policy.forward(text[None], None, at, past > 0)
    return make(policy, hidden[0, slot - 1])

  def loss(policy):
    x = policy.embed(TEXTS.tokens)
    for i, row in enumerate(ROWS):
      at = 0
      for length, slots in row:
        text = (
          jnp.zeros((LONGEST, x.shape[-1]))
          .at[:length]
          .set(x[i, at : at + length])
        )
        for slot in slots:
          text = text.at[slot].set(latent(policy, text, slot))
        x = x.at[i, at : at + length].set(text[:length])
        at += length
    return loss_of(policy, x), x

  return numbers(*jax.value_and_grad(loss, has_aux=True)(policy))


def close(ours, theirs):
  jax.tree.map(
    partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), ours, theirs
  )


@speaks
def test_they_are_those_of_decoding_step_by_step(name):
  """And so is the gradient, through all of them."""
  ours = refined(name)
  close(ours, by_steps(name))
  assert max(np.abs(g).max() for g in ours[2]) > 0.1


def test_more_passes_change_nothing():
  close(refined('hidden', MOST + 2), refined('hidden'))


def test_fewer_passes_leave_the_last_latents_wrong():
  wrong = np.abs(refined('hidden', MOST - 1)[1] - refined('hidden')[1]) > 1e-3
  assert np.argwhere(wrong.any(-1)).tolist() == [[0, 9 + 4]]  # a fourth one


def test_truncation_changes_the_gradient_alone():
  whole, gaps = refined('hidden'), []
  for hops in (1, 2, MOST):
    some = refined('hidden', bptt_steps=hops)
    close(some[:2], whole[:2])
    pairs = zip(some[2], whole[2], strict=True)
    gaps.append(max(np.abs(a - b).max() for a, b in pairs))
  assert gaps[0] > gaps[1] > 1e-2 and gaps[2] < 1e-4


def test_a_truncated_gradient_reads_what_is_further_back_as_constants():
  (policy, _), fixed = SPEAKERS['hidden'], refined('hidden')[1]

  def loss(policy):
    embedded = policy.embed(TEXTS.tokens)
    slots = TEXTS.latent[..., None]
    x = jnp.where(slots, fixed, embedded)
    states, _ = policy.forward(
      x, None, *positions_and_mask(policy, TEXTS.segments)
    )
    x = jnp.where(slots, jnp.roll(states, 1, axis=1), embedded)
    return loss_of(policy, x), x

  run = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICK)
  close(refined('hidden', bptt_steps=1), numbers(*run(policy)))


def test_neither_the_slot_token_nor_other_texts_are_read():
  policy, make = SPEAKERS['hidden']
  texts = lambda tokens: TEXTS._replace(tokens=tokens)
  run = jax.jit(
    lambda tokens: latents.inputs_with_latents(
      policy, texts(tokens), make, passes=MOST
    ),
    compiler_options=QUICK,
  )
  x = np.asarray(run(TEXTS.tokens))
  np.testing.assert_array_equal(
    x, run(jnp.where(TEXTS.latent, 7, TEXTS.tokens))
  )
  first = np.asarray(TEXTS.segments == 1)
  gap = np.abs(x - run(jnp.where(first, 3, TEXTS.tokens))).max(-1)
  assert gap[~first].max() == 0 < gap[first].max()


def test_a_reading_is_of_the_next_token():
  policy = tiny.policy()
  x = policy.embed(TEXTS.tokens)
  found = score(policy, TEXTS, x, logits_chunk=6)
  logits = np.float64(policy.unembed(forward(policy, x)))[:, :-1]
  p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  index = np.asarray(TEXTS.tokens)[:, 1:, None]
  expected = np.log(np.take_along_axis(p, index, -1))[..., 0]
  np.testing.assert_allclose(found.log_probs[:, 1:], expected, atol=1e-4)
  entropy = -np.sum(p * np.log(p), -1)
  np.testing.assert_allclose(found.entropy[:, 1:], entropy, atol=1e-4)
  best = p.argmax(-1) == index[..., 0]
  assert found.is_argmax[:, 1:].tolist() == best.tolist()


def mixtures() -> TokenBatch:
  """The texts, each token half itself and half another, except latents."""
  other = jnp.where(TEXTS.latent, TEXTS.tokens, (TEXTS.tokens + 7) % 85)
  return TEXTS._replace(
    targets=jnp.stack([TEXTS.tokens, other], axis=-1),
    shares=jnp.broadcast_to(jnp.array([0.75, 0.25]), (*other.shape, 2)),
  )


def test_a_mixture_is_read_and_predicted_by_its_shares():
  policy, texts = tiny.policy(), mixtures()
  x = latents.inputs_with_latents(policy, texts, None, passes=0)
  table = np.asarray(policy.table, np.float64)
  ids = np.asarray(texts.targets)
  expected = 0.75 * table[ids[..., 0]] + 0.25 * table[ids[..., 1]]
  np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-7)
  found = score(policy, texts, x, logits_chunk=7)
  logits = np.asarray(policy.unembed(forward(policy, x)), np.float64)
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  each = np.take_along_axis(np.roll(log_p, 1, axis=1), ids, axis=-1)
  np.testing.assert_allclose(found.log_probs, each @ [0.75, 0.25], rtol=1e-4)
  # Shares that do not add up to 1 scale the input, not the target.
  doubled = texts._replace(shares=2 * texts.shares)
  double = score(policy, doubled, x, logits_chunk=7)
  np.testing.assert_allclose(double.log_probs, found.log_probs, rtol=1e-5)


def test_a_mixture_of_one_token_is_that_token():
  policy = tiny.policy()
  sure = TEXTS._replace(
    targets=jnp.stack([TEXTS.tokens, TEXTS.tokens * 0], axis=-1),
    shares=jnp.broadcast_to(jnp.array([1.0, 0.0]), (*TEXTS.tokens.shape, 2)),
  )
  x, same = (  # op by op, so that the bits are the same
    latents.inputs_with_latents(
      policy, texts, FEEDBACKS['hidden'].latent_from_hidden, passes=2
    )
    for texts in (TEXTS, sure)
  )
  np.testing.assert_array_equal(same, x)
  found, expected = (score(policy, texts, x) for texts in (sure, TEXTS))
  np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=2e-6)
