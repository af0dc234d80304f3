"""Decoding with the cache of a prompt once per group, against copies of it."""

from contextlib import nullcontext

import jax
import numpy as np
import pytest

from experiments.benchmarks.shared_prompt import Foreign
from hybrid_latent.policy import Policy
from hybrid_latent.prompt_cache import group_cache, prefill
from tests import sharded, tiny
from tests.tiny import CONFIG, FEEDBACKS

# Latents of one step, spans of several, a prefix: the rest is slow.
QUICKLY = 'gated', 'switching-soft', 'prefix-of-all'
EVERY = [
  name if name in QUICKLY else pytest.param(name, marks=pytest.mark.slow)
  for name in FEEDBACKS
]


@pytest.mark.parametrize('name', EVERY)
def test_completions_are_those_of_copies(name):
  feedback = FEEDBACKS[name]
  policy = tiny.policy(0, feedback)
  copies = policy._replace(model=Foreign(policy.model))
  out, expected = (tiny.rolled(x, feedback) for x in (policy, copies))
  assert len(set(expected.lengths.tolist())) > 2
  for field in 'tokens', 'mask', 'policy_mask', 'thinking_mask', 'terminated':
    np.testing.assert_array_equal(
      getattr(out, field), getattr(expected, field), field
    )
  floats = lambda x: (x.log_probs, x.behavior_log_probs, x.record)
  for x, y in zip(
    *(jax.tree.leaves(floats(x)) for x in (out, expected)), strict=True
  ):
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  ('model', 'mesh', 'prompts', 'group', 'rows'),
  [
    (Policy, None, 3, 4, 3),
    (Policy, None, 3, 1, None),
    (Foreign, None, 3, 4, None),
    (Policy, 'data 2, fsdp 2, tensor 2', 4, 2, 4),
    (Policy, 'data 2, fsdp 2, tensor 2', 2, 4, 4),  # a copy per half
    (Policy, 'fsdp 8', 4, 2, None),  # a row per device
    (Policy, 'tensor 4, sequence 2', 3, 2, 3),
  ],
)
def test_prompts_in_the_cache(model, mesh, prompts, group, rows):
  """Those of the prompts, some twice, or none beside copies per completion."""
  prompt = tiny.prompts([4] * prompts)
  model = model(tiny.policy().model)

  def begins():
    ready = prefill(model, prompt, FEEDBACKS['discrete'])
    return group_cache(model, ready, group)

  with jax.set_mesh(sharded.mesh(mesh)) if mesh else nullcontext():
    cache = jax.eval_shape(begins)
  shape = rows, CONFIG.kv_heads, 4, CONFIG.head_dim
  pairs = [((shape,) * 2)] * CONFIG.layers if rows else []
  assert [tuple(x.shape for x in pair) for pair in cache.prompt] == pairs
  slots = (prompts * group, 0) if rows else (prompts, 4)
  assert {(len(x), x.shape[2]) for x in (*cache.k, *cache.v)} == {slots}


@pytest.mark.slow
def test_a_mesh_that_divides_only_halves_of_groups():
  """Four devices have two prompts, each a half of the group of one."""
  policy, prompt = tiny.policy(), tiny.prompts((4, 3))
  how = dict(sampling=tiny.sampling(), stop=tiny.stop(tiny.STOPS), group=4)
  run = lambda: tiny.sample(
    policy, FEEDBACKS['gated'], prompt, jax.random.key(0), **how
  )
  alone = run()
  with jax.set_mesh(sharded.mesh('data 2, fsdp 2, tensor 2')):
    out = run()
  np.testing.assert_array_equal(out.tokens, alone.tokens)
  np.testing.assert_allclose(out.log_probs, alone.log_probs, rtol=0, atol=1e-4)
