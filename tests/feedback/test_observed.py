"""What latents are near, against the latents themselves."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.feedback.observed import observed, prefix_near
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.rescoring import prompt_inputs
from hybrid_latent.rollout import rollout
from tests import tiny
from tests.tiny import CONFIG, FEEDBACKS, LATENTS, STOPS

V = CONFIG.vocab
# Of XLA, which the tests otherwise change.
DEFAULT = {
  'xla_backend_optimization_level': 3,
  'xla_cpu_use_fusion_emitters': True,
}
close = lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)


def softmax(logits):
  p = np.exp(np.float64(logits))
  return p / p.sum(-1, keepdims=True)


def by_id(near):
  """Its shares [b t v], in the order of the vocabulary."""
  shares = np.zeros(near.shares.shape, np.float64)
  np.put_along_axis(shares, near.ids, near.shares, axis=-1)
  return shares


@pytest.mark.parametrize(
  ('name', 'filters'),
  [
    ('gated', {'top_k': 5}),
    ('soft-thinking', {}),
    ('switching-soft', {}),
    ('gumbel-soft', {}),
    ('multiplex', {}),
  ],
)
def test_the_shares_of_a_mixture_make_its_latent(name, filters):
  feedback, actor = FEEDBACKS[name], tiny.policy(0, FEEDBACKS[name])
  how = {'greedy': name == 'switching-soft'}  # without noise
  out = tiny.rolled(actor, observed(feedback, V), **filters, **how)
  latent = out.latent_share > 0
  shares = by_id(out.record.near)[latent]
  close(shares.sum(-1), 1)
  mixture = shares @ np.float64(actor.table)
  if name == 'gated':
    assert ((shares > 0).sum(-1) == 5).all()
    mixture /= np.linalg.norm(shares, axis=-1, keepdims=True)
    close(out.record.inner['h'][latent], mixture)
  else:
    record = jax.tree.map(jnp.asarray, (out.record.inner, out.tokens))
    fed = feedback.recompute_inputs(actor, *record)
    close(np.asarray(fed)[latent], mixture)
  assert latent.sum() > 5


@pytest.fixture(scope='module')
def projected():
  feedback = FEEDBACKS['projected']
  actor = tiny.policy(0, feedback)
  return actor, observed(feedback), tiny.rolled(actor, observed(feedback))


def test_other_latents_are_read_with_the_output_head(projected):
  actor, feedback, out = projected
  latent = out.latent_share > 0
  record = jax.tree.map(jnp.asarray, out.record)
  x = feedback.recompute_inputs(actor, record, jnp.asarray(out.tokens))
  expected = softmax(np.asarray(actor.unembed(x))[latent])
  ids, shares = out.record.near.ids[latent], out.record.near.shares[latent]
  order = np.argsort(-expected, axis=-1)[:, :5]
  np.testing.assert_array_equal(ids, order)
  close(shares, np.take_along_axis(expected, order, axis=-1))
  assert latent.sum() > 5


def test_the_entropy_is_that_of_the_model(projected):
  """And rescoring reads the record inside."""
  actor, feedback, out = projected
  logits = tiny.logits(actor, feedback, tiny.prompts(), out)
  p = softmax(logits)
  close(out.record.entropy[out.mask], -(p * np.log(p)).sum(-1)[out.mask])
  again = tiny.scores(actor, feedback, tiny.prompts(), out)
  close(again.log_probs, out.log_probs)


def test_a_prefix_is_read_with_the_output_head():
  feedback, prompt = FEEDBACKS['prefix'], tiny.prompts()
  actor = tiny.policy(0, feedback)
  near = jax.jit(prefix_near, static_argnums=(1, 3))(actor, feedback, prompt, V)
  x, _ = jax.jit(prompt_inputs, static_argnums=1)(actor, feedback, prompt)
  prefix = x[:, prompt.tokens.shape[1] :]
  close(by_id(near), softmax(actor.unembed(prefix)))
  assert near.ids.shape == (3, LATENTS + 2, V)


def test_only_a_prefix_has_a_lens():
  with pytest.raises(ValueError, match='no prefix: write prefix'):
    prefix_near(tiny.policy(), FEEDBACKS['hidden'], tiny.prompts())


@pytest.mark.slow
@pytest.mark.parametrize('name', FEEDBACKS)
def test_a_rollout_is_the_same_to_the_bit(name):
  """As XLA compiles it by default."""
  feedback = FEEDBACKS[name]
  actor = tiny.policy(0, feedback)

  @partial(jax.jit, static_argnums=0, compiler_options=DEFAULT)
  def sampled(feedback, actor):
    prompt = tiny.asked(tiny.prompts(), feedback)
    return rollout(
      actor,
      feedback,
      prompt,
      jax.random.key(8),
      sampling=sampling(top_k=40),
      stop=tiny.stop(STOPS),
      max_steps=tiny.STEPS,
      group=tiny.GROUP,
    )

  plain, seen = sampled(feedback, actor), sampled(observed(feedback), actor)
  seen = seen._replace(record=seen.record.inner)
  same = np.testing.assert_array_equal
  if name == 'colar':  # XLA computes its noise in the fusion of each use
    same(plain.tokens, seen.tokens)
    same = close
  jax.tree.map(same, plain, seen)
