"""Invariants of re-scoring, each over every feedback."""

from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.feedback.gated import Gate
from hybrid_latent.feedback.projected import Projector
from hybrid_latent.models.reasoner import Prefix
from hybrid_latent.ops.padding import trim_padding
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Critic
from hybrid_latent.rescoring import rescore, state_values
from hybrid_latent.trees import combine, named_leaves, partition
from tests import tiny
from tests.roles import PLAIN
from tests.tiny import FEEDBACKS, GROUP, PAD, STEPS, STOPS, sample, scores

PROMPT = tiny.prompts()
FORCED = {
  'max_thinking_tokens': 5,
  'after_thinking': [3],
  'on_truncation': [7, 8],
  'max_answer_tokens': 4,
}
SETTINGS = {
  'plain': {},
  'scored-cold-forced': {'score_temperature': 0.6, 'stop': FORCED},
  'filtered-scored-hot': {
    'temperature': 0.7,
    'top_k': 40,
    'top_p': 0.9,
    'min_p': 0.02,
    'score_temperature': 1.5,
  },
}


# Of feedbacks that are in all the tests: these are in the first alone.
VARIANTS = (
  *('gated-published', 'gated-width-0', 'interpolated', 'prefix-of-all'),
  *('switching-soft', 'jacobi', 'multiplex', 'swireasoning'),
)

# Variants of `gated`, `prefix` and `switching`, which have forced tokens.
RELATIVES = (
  *('gated-published', 'gated-width-0', 'interpolated', 'prefix-of-all'),
  'switching-soft',
)


@pytest.fixture(params=[name for name in FEEDBACKS if name not in VARIANTS])
def feedback(request):
  return FEEDBACKS[request.param]


@pytest.fixture
def actor(feedback):
  return tiny.policy(0, feedback)


def rolled(actor, feedback, stop=MappingProxyType({}), **how):
  return sample(
    actor,
    feedback,
    PROMPT,
    jax.random.key(1),
    sampling=sampling(**how),
    stop=tiny.stop(STOPS, **stop),
  )


@pytest.mark.parametrize(
  ('feedback', 'how'),
  [
    pytest.param(name, how, id=f'{setting}-{name}')
    for setting, how in SETTINGS.items()
    for name in FEEDBACKS
    if 'stop' not in how or name not in RELATIVES
  ],
  indirect=['feedback'],
)
def test_log_probs_are_those_of_the_rollout(actor, feedback, how):
  out = rolled(actor, feedback, **how)
  assert 0 < out.mask.mean() < 1
  assert out.latent_share.any() or feedback in PLAIN
  again = scores(
    actor, feedback, PROMPT, out, how.get('score_temperature', 1.0)
  )
  np.testing.assert_allclose(again.log_probs, out.log_probs, rtol=0, atol=1e-4)
  assert not np.asarray(again.log_probs)[~out.mask].any()
  assert not np.asarray(again.entropy)[~out.mask].any()


def test_another_policy_scores_otherwise(actor, feedback):
  out = rolled(actor, feedback)
  again = scores(tiny.policy(1, feedback), feedback, PROMPT, out)
  assert np.abs(again.log_probs - out.log_probs)[out.mask].mean() > 0.1


def test_entropy_is_that_of_the_scored_distribution(actor, feedback):
  out = rolled(actor, feedback)
  x = np.float64(tiny.logits(actor, feedback, PROMPT, out)) / 1.5
  x -= np.log(np.exp(x).sum(-1, keepdims=True))
  expected = np.where(out.mask, -(np.exp(x) * x).sum(-1), 0)
  entropy = scores(actor, feedback, PROMPT, out, 1.5).entropy
  np.testing.assert_allclose(entropy, expected, rtol=0, atol=1e-4)


def test_what_stands_after_the_end_changes_nothing(actor, feedback):
  out = rolled(actor, feedback)
  noise = lambda x: np.where(
    np.expand_dims(out.mask, tuple(range(2, x.ndim))), x, x + np.ones_like(x)
  )
  other = out._replace(
    tokens=np.where(out.mask, out.tokens, 7),
    record=jax.tree.map(noise, out.record),
  )
  assert (np.asarray(out.tokens)[~out.mask] == PAD).all()
  expected = scores(actor, feedback, PROMPT, out)
  actual = scores(actor, feedback, PROMPT, other)
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_gradients_are_finite_and_do_not_see_the_padding(actor, feedback):
  """What a feedback does not read when it scores gets no gradient."""
  out = rolled(actor, feedback)
  owns = isinstance(actor.feedback, Gate | Prefix | Projector)  # else: settings
  is_trained = lambda name: (
    name.startswith('model.')
    or (
      owns and not name.endswith('closing')  # ids of tokens
    )
  )
  trained, fixed = partition(actor, is_trained)

  @partial(jax.jit, compiler_options=tiny.QUICK)
  @jax.grad
  def gradient(trained, prompt):
    policy, prompt = combine(trained, fixed), tiny.asked(prompt, feedback)
    return rescore(policy, feedback, prompt, out).log_probs.sum()

  mine = gradient(trained, PROMPT)
  named = named_leaves(mine)
  zero = {name for name, g in named.items() if not np.any(g)}
  owned = {name for name in named if name.startswith('feedback.')}
  reads = [FEEDBACKS[name] for name in ('gated', 'prefix', 'projected')]
  assert zero == (set() if feedback in reads else owned)
  assert all(np.isfinite(g).all() for g in named.values())
  tokens = np.where(PROMPT.mask, PROMPT.tokens, 9)
  other = gradient(trained, PROMPT._replace(tokens=tokens))
  jax.tree.map(np.testing.assert_array_equal, other, mine)


@pytest.mark.parametrize('feedback', ['gated', 'soft'], indirect=True)
@pytest.mark.parametrize('chunk', [1, 5])
def test_the_size_of_chunks_changes_nothing(actor, feedback, chunk):
  out = rolled(actor, feedback)
  expected = scores(actor, feedback, PROMPT, out)
  actual = scores(actor, feedback, PROMPT, out, chunk=chunk)
  for x, y in zip(actual, expected, strict=True):
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize('feedback', ['gated', 'prefix', 'soft'], indirect=True)
def test_rows_and_columns_score_as_in_the_whole(actor, feedback):
  """A micro-batch has a prompt for every row."""
  out = rolled(actor, feedback)
  longest, (start, size) = int(out.lengths.max()) - 1, (2, 3)
  expected = scores(actor, feedback, PROMPT, out).log_probs
  prompt = jax.tree.map(lambda x: jnp.repeat(x, GROUP, axis=0), PROMPT)
  rows = slice(start, start + size)
  part = trim_padding(out, longest)._replace(steps=None)
  part = jax.tree.map(lambda x: x[rows], part)._replace(steps=out.steps)
  prompt = jax.tree.map(lambda x: x[rows], prompt)
  actual = scores(actor, feedback, prompt, part).log_probs
  np.testing.assert_allclose(
    actual, expected[rows, :longest], rtol=0, atol=1e-5
  )
  np.testing.assert_array_equal(part.terminated, out.terminated[rows])
  assert part.steps == out.steps <= STEPS


@pytest.mark.parametrize('feedback', ['gated', 'prefix', 'soft'], indirect=True)
def test_a_critic_reads_what_the_policy_read(actor, feedback):
  """With an embedding for its head, its value is the logit of that token."""
  out = rolled(actor, feedback)
  judged = actor._replace(critic=Critic(actor.model, actor.table[7]))
  values = jax.jit(state_values, static_argnums=1, compiler_options=tiny.QUICK)
  expected = np.asarray(tiny.logits(actor, feedback, PROMPT, out))[..., 7]
  np.testing.assert_allclose(
    values(judged, feedback, tiny.asked(PROMPT, feedback), out),
    np.where(out.mask, expected, 0),
    rtol=0,
    atol=1e-4,
  )


@pytest.mark.parametrize('feedback', ['discrete'], indirect=True)
def test_prompts_of_another_batch_are_refused(actor, feedback):
  out = rolled(actor, feedback)
  prompt = tiny.prompts((2, 2, 2, 2))
  with pytest.raises(ValueError, match='6 completions of 4 prompts'):
    rescore(actor, feedback, prompt, out)
