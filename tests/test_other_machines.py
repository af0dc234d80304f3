"""The rollout and the update, compiled for accelerators that need not be there:
what holds on the CPU holds there.

A TPU's compiler writes to stderr and keeps global state, so a process of its
own runs this file as a script for each machine.
"""

import json
import re
import sys

import pytest

from tests.scripts import printed_by

pytestmark = pytest.mark.slow
MACHINES = 'v5e:2x4', 'h100:1x1x8'


@pytest.fixture(scope='module', params=MACHINES)
def found(request):
  facts = printed_by(__file__, request.param)
  if 'missing' in facts:
    pytest.skip(facts['missing'])
  return facts


def test_the_loop_slices_no_stacked_weight(found):
  assert found['stacked weights'] == []


def test_the_loop_writes_the_cache_in_place(found):
  assert found['cache writes'] == 4  # keys and values of two layers
  assert found['cache copies'] == []


def test_the_loop_waits_for_no_host(found):
  assert found['host transfers'] == []


def test_parameters_and_optimizer_are_updated_in_place(found):
  assert found['aliased bytes'] >= found['parameter bytes']


def test_no_logits_move(found):
  assert found['logits moved'] == []


def _facts(machine):
  """What the tests look at, for one machine of eight devices."""
  from experiments.aot.targets import target
  from hybrid_latent import sharding
  from tests import lowered

  try:
    devices = target(machine).devices
  except ModuleNotFoundError as error:
    return {'missing': str(error)}
  c = lowered.CONFIG
  alone = sharding.mesh(devices=devices[:1])
  program, (policy, *_) = lowered.lowered_rollout(alone)
  shape = lowered.B, c.kv_heads, lowered.T, c.head_dim
  # Of whatever dtype: a TPU multiplies, and then keeps, bfloat16.
  dims = lambda shape: f'[{",".join(map(str, shape))}]'
  cache = dims(shape)
  body = lowered.loop_body(program.compile().as_text(), cache)
  layers = policy.model.layers
  projections = (layers.q, layers.k, layers.o, layers.up, layers.down)
  stacked = {dims(projection.weight.shape) for projection in projections}
  mesh = sharding.mesh(2, 2, 2, devices=devices)
  rolled = lowered.lowered_rollout(mesh)[0].compile()
  program, (policy, state, *_) = lowered.lowered_update(mesh)
  updated = program.compile()
  write = rf'= \w+{re.escape(cache)}\S* dynamic-update-slice\('
  return {
    'stacked weights': sorted(shape for shape in stacked if shape in body),
    'cache writes': len(re.findall(write, body)),
    'cache copies': re.findall(rf'= \w+{re.escape(cache)}\S* copy\(.*', body),
    'host transfers': lowered.host_transfers(body),
    'aliased bytes': updated.memory_analysis().alias_size_in_bytes,
    'parameter bytes': lowered.bytes_per_device((policy, state)),
    'logits moved': [
      shape
      for program in (rolled, updated)
      for shape in lowered.logits_that_move(program.as_text(), mesh)
    ],
  }


if __name__ == '__main__':
  print(json.dumps(_facts(sys.argv[1])))
