"""A prompt that is computed once per group, against one per completion."""

from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.models.transformer import Transformer
from hybrid_latent.ops import attention as ops
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import rescore
from hybrid_latent.sharding import prompt_copies
from hybrid_latent.trees import combine, named_leaves, partition
from hybrid_latent.types import Trajectory
from tests import sharded, tiny
from tests.tiny import FEEDBACKS, GROUP, STEPS

# Latents, with gradient, and a prefix: the rest is slow.
QUICKLY = 'hidden', 'prefix'
EVERY = [
  name if name in QUICKLY else pytest.param(name, marks=pytest.mark.slow)
  for name in FEEDBACKS
]
PROMPT = tiny.prompts()
PER_ROW = jax.tree.map(lambda x: jnp.repeat(x, GROUP, axis=0), PROMPT)


@partial(jax.jit, static_argnums=0, compiler_options=tiny.QUICK)
def loss_and_gradient(feedback, policy, prompt, out):
  """Of log-probs and entropies, with weights of both signs, and through the
  latents of 'hidden'."""
  kinds = {n: x.dtype for n, x in named_leaves(policy).items()}
  is_float = lambda name: jnp.issubdtype(kinds[name], jnp.floating)
  passes = 3 if feedback is FEEDBACKS['hidden'] else 0

  def loss(floats, others):
    policy, asked = combine(floats, others), tiny.asked(prompt, feedback)
    scores = rescore(policy, feedback, asked, out, latent_passes=passes)
    signs = jnp.cos(jnp.arange(out.mask.size)).reshape(out.mask.shape)
    return sum(jnp.sum(signs * x) for x in scores), scores

  floats, others = partition(policy, is_float)
  return jax.value_and_grad(loss, has_aux=True)(floats, others)


def assert_close(actual, expected):
  """To 1e-5 of the largest value of each array, in float32."""
  for x, y in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5 * np.abs(y).max())


@pytest.mark.parametrize('name', EVERY)
def test_scores_and_gradients_are_those_of_a_prompt_per_completion(name):
  feedback = FEEDBACKS[name]
  policy = tiny.policy(0, feedback)
  out = jax.tree.map(jnp.asarray, tiny.rolled(policy, feedback))
  grouped = loss_and_gradient(feedback, policy, PROMPT, out)
  assert_close(grouped, loss_and_gradient(feedback, policy, PER_ROW, out))


class Foreign(NamedTuple):
  """A model of another project, with the four methods alone."""

  model: Transformer

  embed = property(lambda self: self.model.embed)
  forward = property(lambda self: self.model.forward)
  unembed = property(lambda self: self.model.unembed)


@pytest.mark.parametrize(
  ('model', 'mesh', 'rows'),
  [
    (Policy, None, 4),
    (Policy, 'data 2, fsdp 2, tensor 2', 4),
    (Policy, 'fsdp 8', 8),  # a row per device
    (Policy, 'tensor 4, sequence 2', 8),  # positions are sharded
    (Foreign, None, 8),
  ],
)
def test_rows_of_the_forward_pass(model, mesh, rows, monkeypatch):
  """A prompt with the two completions of its group, or with one."""
  prompt, seen, forward = tiny.prompts((4, 3, 1, 4)), [], Transformer.forward

  def watched(self, x, *rest):
    seen.append(x.shape)
    return forward(self, x, *rest)

  monkeypatch.setattr(Transformer, 'forward', watched)
  ones = jnp.ones((4 * GROUP, STEPS), jnp.int32)
  unset: Any = [None] * len(Trajectory._fields)
  out = Trajectory(*unset)._replace(tokens=ones, mask=ones > 0, record=())
  model = model(tiny.policy().model)
  score = partial(rescore, model, FEEDBACKS['discrete'], prompt, out)
  with jax.set_mesh(sharded.mesh(mesh)) if mesh else nullcontext():
    assert jax.eval_shape(score).log_probs.shape == out.mask.shape
  assert seen == [(rows, 4 + 4 * GROUP // rows * STEPS, tiny.CONFIG.width)]


@pytest.mark.parametrize('implementation', ['xla', 'xla_chunked'])
def test_attention_of_a_group_is_that_of_a_row_per_completion(
  implementation, monkeypatch
):
  """With gradients, and with the queries in two chunks."""
  monkeypatch.setattr(ops, 'CHUNK', 3 * 7 // 2 + 1)
  rng = np.random.default_rng(0)
  padded = np.arange(4) >= np.array([[1], [0]])  # [b p]
  written = np.arange(3) < np.array([[[3], [1]], [[2], [3]]])  # [b g t]
  prompt, completions = jnp.asarray(padded), jnp.asarray(written)
  arrays = (rng.normal(size=(2, heads, 10, 8)) for heads in (4, 2, 2))
  qkv = [jnp.asarray(x, jnp.float32) for x in arrays]

  def per_row(*qkv):
    own = lambda x: x[:, :, 4:].reshape(2, -1, 2, 3, 8).swapaxes(1, 2)
    rows = lambda x: own(x).reshape(4, -1, 3, 8)
    whole = lambda x: jnp.concatenate(
      [jnp.repeat(x[:, :, :4], 2, axis=0), rows(x)], axis=2
    )
    ids = jnp.concatenate(
      [jnp.repeat(prompt, 2, axis=0), completions.reshape(4, 3)], axis=1
    )
    y = ops.attention(*map(whole, qkv), ops.causal_mask(ids))
    of_prompt, y = y[::2, :, :4], y[:, :, 4:].reshape(2, 2, 4, 3, 8)
    y = y.swapaxes(1, 2).reshape(2, 4, 6, 8)
    return jnp.concatenate([of_prompt, y], axis=2)

  mask = ops.GroupMask(prompt, completions)
  grouped = lambda *qkv: ops.attention(
    *qkv, mask, implementation=implementation
  )
  of = lambda f: jax.value_and_grad(
    lambda *qkv: jnp.sum(jnp.sin(f(*qkv))), argnums=(0, 1, 2)
  )(*qkv)
  assert_close(of(grouped), of(per_row))


def test_copies_of_a_prompt_are_few():
  """Parts of groups whose number is a multiple of that of devices or slices."""
  cases = (2, 4, 1), (2, 4, 4), (2, 6, 4), (3, 8, 12), (16, 8, 8), (2, 4, 3)
  assert [prompt_copies(*case) for case in cases] == [1, 2, 2, 4, 1, 4]
