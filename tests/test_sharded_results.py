"""On a mesh nothing changes but rounding: every feedback, objective and
advantage, batches and heads that the mesh does not divide."""

import dataclasses
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent import sharding
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.objectives.advantages import group_relative, leave_one_out
from hybrid_latent.objectives.base import AdvantageInputs
from hybrid_latent.objectives.gae import gae
from hybrid_latent.objectives.policy_gradient import policy_gradient
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import rescore
from hybrid_latent.trees import combine, named_leaves, partition
from tests import sharded, tiny
from tests.objectives import by_hand
from tests.roles import PLAIN
from tests.sharded import SIZES
from tests.tiny import FEEDBACKS, STOPS

close = partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
# Five kinds of feedback on a mesh each; all pairs are slow.
KINDS = 'switching', 'gated', 'jacobi', 'soft', 'prefix-of-all'
QUICKLY = [*zip(KINDS, itertools.cycle(SIZES), strict=False)]
SLOWLY = sorted({*itertools.product(FEEDBACKS, SIZES)} - {*QUICKLY})
OBJECTIVES = by_hand.PAPERS | {
  'entropy of few tokens': {'entropy_coef': 0.01, 'top_entropy': 0.4},
  **{
    f'{level}_{how}': {
      'importance_sampling_mode': f'{level}_{how}',
      'importance_sampling_target': 'behavior',
    }
    for level in ('token', 'sequence')
    for how in ('truncate', 'mask')
  },
}
ADVANTAGES = {
  **{scale: partial(group_relative, scale=scale)
     for scale in ('group', 'batch', 'none')},
  'leave one out': leave_one_out,
  'normalized': partial(leave_one_out, normalize=True),
  'gae': gae,
}  # fmt: skip


def score(policy, feedback, prompt, out):
  """Log-probs of a trajectory, and the gradient of their sum."""
  kinds = {n: x.dtype for n, x in named_leaves(policy).items()}
  is_float = lambda name: jnp.issubdtype(kinds[name], jnp.floating)

  def total(floats, others):
    policy, asked = combine(floats, others), tiny.asked(prompt, feedback)
    log_probs = rescore(policy, feedback, asked, out, logits_chunk=4).log_probs
    return log_probs.sum(), log_probs

  return jax.grad(total, has_aux=True)(*partition(policy, is_float))


score = jax.jit(score, static_argnums=1, compiler_options=tiny.QUICK)


def assert_unchanged(policy, feedback, prompt, mesh, group):
  """Tokens are the same on the mesh; log-probs and gradients but for
  rounding. Returns what it sampled there."""
  stop = tiny.stop(STOPS, vocab=policy.model.config.vocab)
  how = {'sampling': sampling(top_k=40), 'stop': stop, 'group': group}

  def run(policy, prompt):
    out = tiny.sample(policy, feedback, prompt, jax.random.key(0), **how)
    return out, *score(policy, feedback, prompt, out)

  alone, gradient, log_probs = run(policy, prompt)
  with jax.set_mesh(mesh):
    policy = sharded.placed(policy, mesh)
    out, slopes, scores = run(policy, sharding.from_host(prompt, mesh))
  np.testing.assert_array_equal(out.tokens, alone.tokens)
  np.testing.assert_array_equal(out.mask, alone.mask)
  close(out.log_probs, alone.log_probs)
  jax.tree.map(close, out.record, alone.record)
  close(scores, log_probs)
  gradient, slopes = jax.device_get((gradient, slopes))
  scale = max(np.abs(x).max() for x in jax.tree.leaves(gradient))
  jax.tree.map(lambda x, y: close(x / scale, y / scale), slopes, gradient)
  return out


def feedback_on(name, mesh):
  feedback, prompt = FEEDBACKS[name], tiny.prompts((4, 3, 1, 4))
  policy, mesh = tiny.policy(0, feedback), sharded.mesh(mesh)
  out = assert_unchanged(policy, feedback, prompt, mesh, tiny.GROUP)
  assert feedback in PLAIN or out.latent_share.any()


@pytest.mark.parametrize(('name', 'mesh'), QUICKLY)
def test_a_feedback(name, mesh):
  feedback_on(name, mesh)


def test_the_mean_of_soft_tokens_where_devices_have_rows_alone():
  feedback, prompt = FEEDBACKS['soft'], tiny.prompts((4, 3, 1, 4))
  policy, mesh = tiny.policy(0, feedback), sharding.mesh(data=8)
  assert mesh.size == 4 * tiny.GROUP
  assert_unchanged(policy, feedback, prompt, mesh, tiny.GROUP)
  with jax.set_mesh(mesh):
    hidden = jnp.ones((mesh.size, tiny.CONFIG.width))
    _, mean = jax.jit(feedback.unembed)(policy, hidden)
    assert mean.sharding.shard_shape(mean.shape) == (1, tiny.CONFIG.width)
    assert jax.jit(feedback.unembed)(policy, hidden[:3])[1] is None


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'mesh'), SLOWLY)
def test_every_feedback_on_every_mesh(name, mesh):
  feedback_on(name, mesh)


@pytest.mark.parametrize(
  'mesh', [pytest.param(name, marks=pytest.mark.slow)
           if name.startswith('fsdp') else name for name in SIZES]
)  # fmt: skip
def test_rows_and_heads_that_the_mesh_does_not_divide(mesh, key):
  """Three rows and heads, one key head, 97 tokens, odd widths: less is cut."""
  config = dataclasses.replace(
    tiny.CONFIG, vocab=97, width=15, heads=3, kv_heads=1, mlp=21, head_dim=6
  )
  policy, prompt = Policy(Transformer(config, key)), tiny.prompts((4, 3, 1))
  mesh = sharded.mesh(mesh)
  assert_unchanged(policy, FEEDBACKS['hidden'], prompt, mesh, 1)


@partial(jax.jit, compiler_options=tiny.QUICK)
def losses(experience, judged):
  """The loss and gradient of every objective, and every advantage."""

  def loss(fields, how):
    return policy_gradient(experience._replace(**fields), **how)[0].value

  fields = by_hand.carriers(experience)
  return (
    {name: jax.value_and_grad(loss)(fields, how)
     for name, how in OBJECTIVES.items()},
    {name: advantage(judged, tiny.GROUP)
     for name, advantage in ADVANTAGES.items()},
  )  # fmt: skip


@pytest.mark.parametrize(
  ('mesh', 'rows'), [*zip(SIZES, (6, 8, 8), strict=True)]
)
def test_every_objective_and_advantage(mesh, rows):
  lengths, rng = (8, 1, 4, 3, 8, 5, 2, 7)[:rows], np.random.default_rng(0)
  as_float32 = lambda tree: jax.tree.map(
    lambda x: x.astype(np.float32) if x.dtype == np.float64 else x, tree
  )
  experience = by_hand.loss_inputs(lengths=lengths, critic=True)
  rewards, mask = rng.normal(size=rows), experience.loss_mask
  tokens, values = rng.normal(size=(2, *mask.shape))
  given = as_float32(
    (experience, AdvantageInputs(rewards, mask, tokens, values))
  )
  mesh = sharded.mesh(mesh)
  expected = losses(*given)
  with jax.set_mesh(mesh):
    found = losses(*sharding.from_host(given, mesh))
  jax.tree.map(close, found, expected)
