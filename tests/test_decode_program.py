"""What the compiler makes of the decoding loop."""

import re

import jax

from hybrid_latent.models.transformer import unstack
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.rollout import rollout
from hybrid_latent.trees import named_leaves
from tests import tiny
from tests.lowered import host_transfers, loop_body
from tests.tiny import FEEDBACKS, GROUP, STEPS, STOPS


def test_the_loop_copies_no_cache_and_slices_no_stacked_weight(key):
  c, actor = tiny.CONFIG, tiny.policy()
  b, slots = GROUP * len(tiny.LENGTHS), max(tiny.LENGTHS) + STEPS
  cache = f'f32[{b},{c.kv_heads},{slots},{c.head_dim}]'
  record = f'f32[{b},{STEPS},{c.width}]'
  weights = named_leaves(actor.model.layers).values()
  stacked = {f'f32[{",".join(map(str, w.shape))}]' for w in weights}
  body = loop_body(program(actor, key, unstack), cache)
  written = re.findall(rf'= {re.escape(cache)}\S* dynamic-update-slice\(', body)
  assert len(written) == 2 * c.layers
  assert not re.findall(rf'= {re.escape(cache)}\S* copy\(.*', body)
  assert not re.findall(rf'= {re.escape(record)}\S* copy\(.*', body)
  assert not [shape for shape in stacked if shape in body]
  assert not host_transfers(body)
  # What this looks for exists: without `unstack` the loop slices.
  body = loop_body(program(actor, key, lambda model: model), cache)
  assert [shape for shape in stacked if shape in body]


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
