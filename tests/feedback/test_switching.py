"""Spans of latents between words, against a plain loop and by the book."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid_latent.data import arithmetic
from hybrid_latent.feedback.switching import Spans, spans, switching
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import rescore
from tests import scripted, tiny
from tests.roles import spans as spans_of
from tests.scripted import recited
from tests.tiny import END, FEEDBACKS, SLOT, START, STEPS, scores
from tests.unrolled import unrolled

PROMPT, ROWS = tiny.prompts(), 2
words = st.sampled_from([3, 9, START, START, SLOT, END, END])
scripts = st.lists(
  st.lists(words, min_size=STEPS, max_size=STEPS), min_size=ROWS, max_size=ROWS
)


def told(slots, sampled, **more):
  ids = map(jnp.int32, (START, SLOT, END, slots))
  return Spans(*ids, jnp.bool_(sampled), **more)


def spoken(
  script, slots=2, sampled=False, opening=False, delimiters=True, **rule
):
  return recited(
    script,
    switching(),
    tiny.stop(**rule),
    vocab=tiny.CONFIG.vocab,
    parameters=told(
      slots,
      sampled,
      opening=np.bool_(opening),
      delimiters=np.bool_(delimiters),
    ),
  )


def by_hand(script, slots, sampled):
  """The tokens of one row, which it chose, which are slots; and the state
  (position, number) that each was chosen from."""
  tokens, free, latent, states = [], [], [], []
  taken = None  # slots of the span so far
  read = scripted.START
  for t, word in enumerate(script):
    state, is_slot, chosen = read / 2, False, True
    if taken is None:
      taken = 0 if word == START else None
    elif taken == slots:
      word, chosen, taken = END, False, None
    elif sampled and taken and word == END:
      taken = None
    else:
      word, chosen, is_slot, taken = SLOT, False, True, taken + 1
    read = state if is_slot else scripted.START + word
    tokens.append(word)
    free.append(chosen)
    latent.append(is_slot)
    states.append([t, state])
  return tokens, free, latent, states


@settings(max_examples=100, deadline=None, derandomize=True)
@given(script=scripts, slots=st.integers(1, 5), sampled=st.booleans())
@example([[START] * STEPS, [3, END, START] * 4], 3, False)
@example([[START, END, END, 3] * 3, [START, 9, 9, END] * 3], 3, True)
@example([[3] * (STEPS - 1) + [START], [3, SLOT] * 6], 1, True)
def test_rows_are_those_of_a_plain_loop(script, slots, sampled):
  """To the bit: what each slot reads is the state at the position before it,
  and the positions count on through the slots."""
  out = spoken(script, slots, sampled)
  for i, row in enumerate(script):
    tokens, free, latent, states = by_hand(row, slots, sampled)
    assert out.tokens[i].tolist() == tokens
    assert out.policy_mask[i].tolist() == free
    assert (
      out.latent_share[i].tolist() == out.record['fed'][i].tolist() == latent
    )
    assert out.record['latent'][i].tolist() == states
  assert out.mask.all()


def test_a_cut_ends_a_span():
  """What is forced after the thinking is said in words."""
  script = [[3, START, *[9] * (STEPS - 2)]] * ROWS
  out = spoken(script, slots=6, max_thinking_tokens=4, on_truncation=[7, 8])
  expected = [3, START, SLOT, SLOT, 7, 8, *[9] * (STEPS - 6)]
  assert out.tokens.tolist() == [expected] * ROWS
  assert np.flatnonzero(out.latent_share[0]).tolist() == [2, 3]
  assert np.flatnonzero(~out.policy_mask[0]).tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize('slots', [0, 1, 3])
def test_a_completion_may_open_with_a_span(slots):
  """Which nobody chose; others begin where they are drawn. The states in its
  slots are those of a drawn one."""
  script = [
    [9] * STEPS,
    [START, *[3] * (slots + 1), 9, START, *[3] * (STEPS - slots - 4)],
  ]
  out = spoken(script, slots, opening=True)
  span = [START, *[SLOT] * slots, END]
  plain, drawn = out.tokens.tolist()
  assert plain == [*span, *[9] * (STEPS - slots - 2)]
  words = [3] * (STEPS - 2 * slots - 5)
  assert drawn == [*span, 9, *span, *words]
  forced = np.arange(STEPS) < slots + 2
  second = (np.arange(STEPS) > slots + 3) & (np.arange(STEPS) < 2 * slots + 5)
  assert out.policy_mask.tolist() == [
    (~forced).tolist(),
    (~forced & ~second).tolist(),
  ]
  at = np.arange(STEPS) - 1
  assert out.latent_share[0].tolist() == ((at >= 0) & (at < slots)).tolist()
  begun = spoken([[START] * STEPS] * ROWS, slots)
  states = out.record['latent'][:, 1 : slots + 1].tolist()
  assert states == begun.record['latent'][:, 1 : slots + 1].tolist()


@pytest.mark.parametrize('slots', [0, 1, 3])
def test_slots_may_open_without_start_and_end(slots):
  """The first has the state before the completion; words follow the last."""
  script = [[9] * STEPS] * ROWS
  out = spoken(script, slots, opening=True, delimiters=False)
  assert out.tokens[0].tolist() == [SLOT] * slots + [9] * (STEPS - slots)
  is_slot = (np.arange(STEPS) < slots).tolist()
  assert out.latent_share[0].tolist() == is_slot
  assert (~out.policy_mask[0]).tolist() == is_slot
  if slots:
    assert out.record['latent'][0, 0].tolist() == [0, scripted.START / 2]


def test_a_span_that_opens_may_be_left():
  script = [[3, 3, END, 9, END, *[3] * 7]]
  out = spoken(script, 5, sampled=True, opening=True, delimiters=False)
  assert out.tokens[0, :5].tolist() == [SLOT, SLOT, END, 9, END]
  out = spoken(script, 5, sampled=True, opening=True)
  assert out.tokens[0, :6].tolist() == [START, SLOT, END, 9, END, 3]
  assert out.policy_mask[0, :6].tolist() == [
    False,
    False,
    True,
    True,
    True,
    True,
  ]


def test_settings_are_traced():
  spoken([[3] * STEPS] * ROWS)
  programs = scripted.program._cache_size()
  spoken([[START] * STEPS] * ROWS, slots=5, sampled=True)
  spoken([[3] * STEPS] * ROWS, slots=0, opening=True)
  spoken([[3] * STEPS] * ROWS, opening=True, delimiters=False)
  assert scripted.program._cache_size() == programs


@pytest.fixture(params=['switching', 'switching-soft'])
def feedback(request):
  return FEEDBACKS[request.param]


def rolled(feedback, key=1):
  """A policy, and what it says."""
  actor = tiny.policy(0, feedback)
  out = tiny.sample(
    actor,
    feedback,
    PROMPT,
    jax.random.key(key),
    sampling=sampling(),
    stop=tiny.stop(),
  )
  return actor, jax.tree.map(np.asarray, out)


def test_a_rollout_is_that_of_the_paper(feedback):
  """Or, in other spans, that of the feedback inside."""
  actor, out = rolled(feedback)
  soft = feedback is FEEDBACKS['switching-soft']
  slots, ends = spans_of(out)
  latent = out.record['latent']

  def feed(i, t, hidden, logits):
    if not slots[i, t]:
      return None
    return latent[i, t] if soft else hidden

  hidden, logits = unrolled(actor, PROMPT, out, feed)
  close = partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
  assert slots.sum() > 5 and ends.any()
  expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  index = out.tokens[..., None]
  expected = np.take_along_axis(expected, index, axis=-1)[..., 0]
  if soft:
    tau, sigma = map(float, actor.feedback.inner)
    p = np.exp(logits / tau)
    h0 = p @ np.float64(actor.table) / p.sum(-1, keepdims=True)
    gap = ((latent - h0) / sigma) ** 2
    expected = np.where(slots, (latent.shape[-1] - gap.sum(-1)) / 2, expected)
    assert (gap[slots] > 0).all()
  else:
    np.testing.assert_allclose(latent[slots], hidden[slots], atol=1e-5, rtol=0)
  close(out.log_probs, expected)
  close(scores(actor, feedback, PROMPT, out).log_probs, expected)
  fed = jax.tree.map(jnp.asarray, (out.record, out.tokens))
  read = np.asarray(feedback.recompute_inputs(actor, *fed))
  np.testing.assert_array_equal(read[slots], latent[slots])
  np.testing.assert_array_equal(read[~slots], actor.table[out.tokens[~slots]])


class Moved(NamedTuple):
  """A model with something added to its logits."""

  model: Any
  by: jax.Array  # [b t v]

  def embed(self, tokens):
    return self.model.embed(tokens)

  def forward(self, *args):
    return self.model.forward(*args)

  def unembed(self, hidden):
    return self.model.unembed(hidden) + self.by

  @property
  def table(self):
    return self.model.table


def test_no_policy_gradient_reaches_the_logits_of_slots(feedback):
  """Nor those of an end token that stands there by force."""
  actor, out = rolled(feedback)

  @partial(jax.jit, compiler_options=tiny.QUICK)
  @jax.grad
  def gradient(by):
    policy = Policy(Moved(actor.model, by), actor.feedback)
    past = jax.tree.map(jnp.asarray, out)
    log_probs = rescore(policy, feedback, PROMPT, past).log_probs
    return jnp.where(out.mask & out.policy_mask, log_probs, 0).sum()

  slope = gradient(jnp.zeros((*out.mask.shape, tiny.CONFIG.vocab)))
  reached = np.any(slope, axis=-1)
  slots, ends = spans_of(out)
  np.testing.assert_array_equal(reached, out.mask & ~slots & ~ends)
  starts = out.tokens == START
  assert reached[starts].all() and starts.any()


def test_settings_name_tokens_of_the_tokenizer(key):
  tokenizer = arithmetic.tokenizer()
  names = '<start-latent>', '<latent>', '<end-latent>'
  with pytest.raises(ValueError, match=r"no token \['<start-latent>', '<lat"):
    spans(key, None, tokenizer)
  tokenizer.add_tokens([*names])
  values = spans(key, None, tokenizer, num_latents=3, sampled=True)
  said = tokenizer.convert_ids_to_tokens([int(x) for x in values[:3]])
  assert tuple(said) == names
  assert values.slots == 3 and values.sampled and values.inner is None
  assert (
    not values.opening and spans(key, None, tokenizer, opening=True).opening
  )
  with pytest.raises(ValueError, match='delimiters=False with opening=False'):
    spans(key, None, tokenizer, delimiters=False)
  with pytest.raises(ValueError, match='num_latents=0: write at least 1'):
    spans(key, None, tokenizer, num_latents=0)
  with pytest.raises(ValueError, match=r"no token \['<pause>'\]: .*new_tokens"):
    spans(key, None, tokenizer, slot='<pause>')
