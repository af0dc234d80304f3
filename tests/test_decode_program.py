"""What the compiler makes of the decoding loop."""

import dataclasses
import re

import jax
import pytest

from hybrid_latent.models.transformer import Transformer, unstack
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.rollout import rollout
from hybrid_latent.trees import named_leaves
from tests import tiny
from tests.lowered import host_transfers, loop_body
from tests.tiny import FEEDBACKS, GROUP, STEPS, STOPS


def test_the_loop_copies_no_cache_and_slices_no_stacked_weight(key):
  c, actor = tiny.CONFIG, tiny.policy()
  u, b, p = len(tiny.LENGTHS), GROUP * len(tiny.LENGTHS), max(tiny.LENGTHS)
  cache = f'f32[{b},{c.kv_heads},{STEPS},{c.head_dim}]'
  prompts = f'f32[{u},{c.kv_heads},{p},{c.head_dim}]'
  record = f'f32[{b},{STEPS},{c.width}]'
  weights = named_leaves(actor.model.layers).values()
  stacked = {f'f32[{",".join(map(str, w.shape))}]' for w in weights}
  text = program(actor, key, unstack)
  # The prompt is in the cache once per group, beside it the completions.
  assert prompts in text
  for slots in p, p + STEPS:
    assert f'[{b},{c.kv_heads},{slots},{c.head_dim}]' not in text
  body = loop_body(text, cache)
  written = re.findall(rf'= {re.escape(cache)}\S* dynamic-update-slice\(', body)
  assert len(written) == 2 * c.layers
  for part in cache, prompts:
    assert not re.findall(rf'= {re.escape(part)}\S* copy\(.*', body)
  for slots in p, STEPS:  # nor transposes it for a product
    assert f'{c.head_dim},{slots}]' not in body
  assert not re.findall(rf'= {re.escape(record)}\S* copy\(.*', body)
  assert not [shape for shape in stacked if shape in body]
  assert not host_transfers(body)
  # What this looks for exists: without `unstack` the loop slices.
  body = loop_body(program(actor, key, lambda model: model), cache)
  assert [shape for shape in stacked if shape in body]


@pytest.mark.parametrize('rows', [1, 2])
def test_16_bit_decoding_makes_no_float32_copy_of_a_weight(rows):
  c = dataclasses.replace(tiny.CONFIG, width=64, mlp=160, dtype='bfloat16')
  actor = Policy(Transformer(c, jax.random.key(0)))

  @jax.jit
  def sample(actor, sampling, stop):
    return rollout(
      actor._replace(model=unstack(actor.model)),
      FEEDBACKS['discrete'],
      tiny.prompts([5] * rows),
      jax.random.key(0),
      sampling=sampling,
      stop=stop,
      max_steps=STEPS,
    )

  args = actor, sampling(), tiny.stop(STOPS)
  text = sample.lower(*args).compile().as_text()
  body = loop_body(text, f'bf16[{rows},{c.kv_heads},{5 + STEPS},{c.head_dim}]')
  weights = {f'[{c.vocab},{c.width}]', f'[{c.mlp},{c.width}]'}
  assert weights <= {x.removeprefix('bf16') for x in _shapes(body)}
  assert not {f'f32{x}' for x in weights} & _shapes(body)


def _shapes(text):
  return set(re.findall(r'\w+\[[\d,]+\]', text))


def program(actor, key, prepare):
  """The text of the compiled rollout."""

  @jax.jit
  def sample(actor, sampling, stop):
    return rollout(
      actor._replace(model=prepare(actor.model)),
      FEEDBACKS['gated'],
      tiny.prompts(),
      key,
      sampling=sampling,
      stop=stop,
      group=GROUP,
      max_steps=STEPS,
    )

  args = actor, sampling(), tiny.stop(STOPS)
  return sample.lower(*args).compile().as_text()
