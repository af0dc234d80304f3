"""Decoding with fewer rows than completions changes none of them."""

import heapq
from functools import partial

import jax
import numpy as np
import pytest

from hybrid_latent import sharding
from hybrid_latent.models.transformer import unstack
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.prompt_cache import prefill
from hybrid_latent.refill import decode_with_refill
from tests import tiny
from tests.tiny import FEEDBACKS, GROUP, STEPS, STOPS

KEY = jax.random.key(8)
PROMPTS = tiny.prompts((0, 1, 2, 3), (6, 3, 1, 4))
ROWS = len(PROMPTS.ids) * GROUP
SAME = 'tokens', 'mask', 'policy_mask', 'thinking_mask', 'terminated', 'steps'


@partial(
  jax.jit, static_argnames=('feedback', 'rows'), compiler_options=tiny.QUICK
)
def _decoded(policy, feedback, key, sampling, stop, rows):
  policy = policy._replace(model=unstack(policy.model))
  prompt = tiny.asked(PROMPTS, feedback)
  return decode_with_refill(
    policy,
    feedback,
    prompt,
    prefill(policy, prompt, feedback),
    key,
    sampling=sampling,
    stop=stop,
    max_steps=STEPS,
    max_num_seqs=rows,
    group=GROUP,
  )


def decoded(feedback, rows, limit=STEPS):
  policy, stop = tiny.policy(0, feedback), tiny.stop(STOPS, limit)
  out = _decoded(policy, feedback, KEY, sampling(), stop, rows)
  return jax.tree.map(np.asarray, out)


@pytest.mark.parametrize(
  'name', ['gated', 'switching', 'soft', 'prefix-of-all', 'swireasoning']
)
def test_completions_are_those_of_all_rows_at_once(name):
  feedback = FEEDBACKS[name]
  whole, few = (decoded(feedback, rows) for rows in (ROWS, 3))
  assert len(set(whole.lengths.tolist())) > 2
  for field in SAME:
    np.testing.assert_array_equal(
      getattr(few, field), getattr(whole, field), field
    )
  mask = whole.mask
  close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
  close(few.log_probs, whole.log_probs)
  close(few.behavior_log_probs, whole.behavior_log_probs)
  records = (jax.tree.leaves(out.record) for out in (few, whole))
  for ours, all_rows in zip(*records, strict=True):
    close(ours[mask].astype(float), all_rows[mask].astype(float))
    assert not ours[~mask].any()
  policy = tiny.policy(0, feedback)
  again = tiny.scores(policy, feedback, PROMPTS, few).log_probs
  close(again, few.log_probs, atol=1e-4)


passes = []


def _counted_step(*args):
  jax.debug.callback(lambda: passes.append(1))
  return FEEDBACKS['discrete'].step(*args)


@pytest.mark.parametrize('rows', [1, 3, 5])
@pytest.mark.parametrize('limit', [STEPS, STEPS + 5])
def test_a_row_that_ends_begins_the_next_at_once(rows, limit):
  """Passes are those of completions that are given to the first free row."""
  passes.clear()
  out = decoded(FEEDBACKS['discrete']._replace(step=_counted_step), rows, limit)
  jax.effects_barrier()
  free = [0] * rows
  for length in out.lengths:
    heapq.heappush(free, heapq.heappop(free) + int(length))
  assert out.lengths.max() == STEPS and out.lengths.min() < STEPS
  assert len(passes) == max(free)


def test_each_device_decodes_its_own_prompts():
  feedback = FEEDBACKS['gated']
  whole = decoded(feedback, ROWS)
  mesh = sharding.mesh(data=2, devices=jax.devices()[:2])
  with jax.set_mesh(mesh):
    out = decoded(feedback, 2)
  for field in SAME:
    np.testing.assert_array_equal(getattr(out, field), getattr(whole, field))


@pytest.mark.parametrize('rows', [0, 2.0])
def test_a_wrong_number_of_rows_is_refused(rows):
  with pytest.raises(ValueError, match=r'max_num_seqs is .*: write an integer'):
    decoded(FEEDBACKS['discrete'], rows)
