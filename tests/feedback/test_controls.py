"""Latents of another problem, pauses, and no latents, against plain loops."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_latent.feedback.controls import dropped, other_problem, pause
from hybrid_latent.feedback.observed import observed
from hybrid_latent.feedback.switching import Spans, switching
from hybrid_latent.ops.sampling import distribution, sampling
from hybrid_latent.types import PrefixInputs
from tests import scripted, tiny
from tests.scripted import recited
from tests.tiny import (
  CONFIG,
  END,
  FEEDBACKS,
  GROUP,
  LATENTS,
  SLOT,
  START,
  STEPS,
)

PROMPT, SHAPE = tiny.prompts(), (CONFIG.vocab, CONFIG.width)
SLOTS, ROWS = 2, 3
words = st.sampled_from([3, 9, START, START, END])
scripts = st.lists(
  st.lists(words, min_size=STEPS, max_size=STEPS), min_size=ROWS, max_size=ROWS
)
close = lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)


def spoken(script, control, opening=False):
  ids: Any = map(jnp.int32, (START, SLOT, END, SLOTS))
  spans = Spans(*ids, jnp.bool_(False), opening=np.bool_(opening))
  return recited(
    script,
    observed(control(switching())),
    tiny.stop(),
    vocab=CONFIG.vocab,
    parameters=spans,
  )


def others(feedback):
  return other_problem(feedback, 1, (CONFIG.vocab, 2))


def written(script):
  """The tokens of one row, and which of them are slots."""
  tokens, is_slot, left = [], [], 0
  for word in script:
    word = (SLOT if left > 1 else END) if left else word
    is_slot.append(left > 1)
    begins = not left and word == START
    left = SLOTS + 1 if begins else max(left - 1, 0)
    tokens.append(word)
  return tokens, is_slot


@settings(max_examples=60, deadline=None, derandomize=True)
@given(script=scripts)
def test_spans_read_the_last_latent_of_the_row_before(script):
  """Or, before it has one, the state that it is at."""
  tokens, slots = zip(*map(written, script), strict=True)
  read, last = [scripted.START] * ROWS, [(0, 0.0)] * ROWS
  expected = np.zeros((ROWS, STEPS, 2))
  had = [False] * ROWS
  for t in range(STEPS):
    for i in range(ROWS):
      if slots[i][t] or not had[i]:
        last[i], had[i] = (t, read[i] / 2), slots[i][t]
    for i in range(ROWS):
      expected[i, t] = last[i - 1]
      latent = last[i - 1][1]
      read[i] = latent if slots[i][t] else scripted.START + tokens[i][t]
  out = spoken(script, others)
  assert out.tokens.tolist() == [*tokens]
  np.testing.assert_array_equal(out.latent_share, slots)
  np.testing.assert_array_equal(out.record.inner['fed'], slots)
  latents = out.record.inner['latent']
  np.testing.assert_array_equal(latents[np.array(slots)],
                                expected[np.array(slots)])  # fmt: skip


@settings(max_examples=20, deadline=None, derandomize=True)
@given(script=scripts)
def test_pauses_are_the_tokens_of_the_spans(script):
  out = spoken(script, pause)
  assert out.tokens.tolist() == [written(row)[0] for row in script]
  assert not out.latent_share.any() and not jax.tree.leaves(out.record.inner)


@pytest.mark.parametrize('opening', [False, True])
def test_dropped_spans_never_begin(opening):
  """The likeliest other token of the script's model is token 0."""
  script = [[3, START, 9, END, SLOT, START, *[3] * 6]] * 2
  out = spoken(script, dropped, opening)
  expected = [3, 0, 9, END, SLOT, 0, *[3] * 6]
  assert out.tokens.tolist() == [expected] * 2
  assert out.policy_mask[0].tolist() == [word != 0 for word in expected]
  assert not out.latent_share.any()


def rolled(feedback, control, prompt=PROMPT):
  """A policy and what it says; no row ends before the others."""
  actor = tiny.policy(0, feedback)
  if isinstance(actor.feedback, Spans):
    begins = actor.feedback._replace(opening=np.bool_(True))
    actor = actor._replace(feedback=begins)
  out = tiny.sample(
    actor,
    control,
    prompt,
    jax.random.key(8),
    sampling=sampling(),
    stop=tiny.stop(delimiter=b'dddddd'),
  )
  return actor, jax.tree.map(np.asarray, out)


def test_the_gate_mixes_in_the_distribution_of_the_prompt_before():
  """With its own token: rescoring computes the gate from that."""
  feedback = FEEDBACKS['gated']
  control = observed(other_problem(feedback, GROUP, SHAPE), CONFIG.vocab)
  actor, out = rolled(feedback, control)
  logits = tiny.logits(actor, control, PROMPT, out)
  p = np.roll(np.asarray(jax.nn.softmax(logits)), GROUP, axis=0)
  h = p @ np.asarray(actor.table) / np.linalg.norm(p, axis=-1, keepdims=True)
  close(out.record.inner['h'], h)
  near = np.zeros(p.shape)
  np.put_along_axis(near, out.record.near.ids, out.record.near.shares, axis=-1)
  close(near, p)
  entropy = -np.sum(p * np.log(p), axis=-1)
  close(np.roll(out.record.entropy, GROUP, axis=0), entropy)
  again = tiny.scores(actor, control, PROMPT, out)
  close(again.log_probs, out.log_probs)
  assert (out.latent_share > 0).all()


@pytest.mark.parametrize('name', ['gated', 'soft-thinking', 'soft'])
def test_what_was_sorted_and_mixed_is_not_of_the_donor(name):
  feedback, rows = FEEDBACKS[name], 3 * GROUP
  control = other_problem(feedback, GROUP, SHAPE)
  actor = tiny.policy(0, feedback)
  logits = 3 * jax.random.normal(jax.random.key(3), (rows, CONFIG.vocab))
  found = distribution(logits, sampling(top_k=3))
  out = tiny.step_out(logits, filtered=found.logits)
  keys = jax.random.split(jax.random.key(0), rows)
  read = lambda **own: control.step(
    actor, control.init(rows), keys, out._replace(**own)
  )
  mixed = read(likeliest=found.likeliest, mixture=out.hidden)
  close(mixed.next_input, read().next_input)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['gated', 'soft-thinking', 'switching-soft'])
def test_latents_of_the_same_problem_change_nothing(name):
  """Three times the same prompt, with the same random numbers."""
  feedback = FEEDBACKS[name]
  prompt = tiny.prompts([6] * 3, ids=[4] * 3)
  _, plain = rolled(feedback, feedback, prompt)
  _, out = rolled(feedback, other_problem(feedback, GROUP, SHAPE), prompt)
  assert out.latent_share.any()
  for field in ('tokens', 'policy_mask', 'latent_share'):
    np.testing.assert_array_equal(getattr(out, field), getattr(plain, field))
  close(out.log_probs, plain.log_probs)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'control'),
  [
    ('soft', other_problem),
    ('projected', other_problem),
    ('switching-soft', other_problem),
    ('prefix', other_problem),
    ('prefix', pause),
    ('switching', pause),
    ('switching', dropped),
  ],
)
def test_rescoring_returns_the_log_probs(name, control):
  feedback = FEEDBACKS[name]
  sizes = (GROUP, SHAPE) if control is other_problem else ()
  controlled = control(feedback, *sizes)
  actor, out = rolled(feedback, controlled)
  again = tiny.scores(actor, controlled, PROMPT, out)
  close(again.log_probs, out.log_probs)
  assert out.mask.all()


def test_a_pause_of_soft_tokens_reads_the_text():
  """The log-prob is then that of the text, the likeliest token."""
  feedback = FEEDBACKS['soft']
  actor, out = rolled(feedback, pause(feedback))
  logits = tiny.logits(actor, FEEDBACKS['discrete'], PROMPT, out)
  np.testing.assert_array_equal(out.tokens, logits.argmax(-1))
  close(out.log_probs, jax.nn.log_softmax(logits).max(-1))


def test_a_prefix_of_the_prompt_before_or_of_pauses():
  feedback, mask = FEEDBACKS['prefix'], PROMPT.mask
  actor = tiny.policy(0, feedback)
  hidden = jax.random.normal(jax.random.key(0), (*mask.shape, CONFIG.width))
  latents = lambda feedback: feedback.prefix(
    actor, PrefixInputs(PROMPT.tokens, mask, hidden, None)
  )
  own, paused = latents(feedback), latents(pause(feedback))
  other = latents(other_problem(feedback, GROUP, SHAPE))
  np.testing.assert_array_equal(other, own[jnp.array([2, 0, 1])])
  assert np.abs(own - other).max(axis=(1, 2)).min() > 0.01
  mean = np.broadcast_to(np.mean(actor.table, axis=0), (3, LATENTS, SHAPE[1]))
  close(paused[:, :LATENTS], mean)
  np.testing.assert_array_equal(paused[:, LATENTS:], own[:, LATENTS:])
  assert dropped(feedback).prefix is None


def test_one_problem_has_no_other():
  control = other_problem(FEEDBACKS['hidden'], 4, SHAPE)
  with pytest.raises(ValueError, match='4 rows in groups of 4 are one problem'):
    control.init(4)
