"""What the compiler makes of an update and of a rollout on a mesh: nothing
whole that should be cut, and no logits on their way."""

from math import prod

import jax
import pytest

from hybrid_latent import sharding
from hybrid_latent.trees import named_leaves
from tests import lowered, sharded, tiny
from tests.lowered import (
  CONFIG,
  PROMPTS,
  B,
  P,
  T,
  logits_that_move,
  shapes,
)

FIRST, *OTHERS = sharded.SIZES
MESHES = [FIRST, *(pytest.param(x, marks=pytest.mark.slow) for x in OTHERS)]


@pytest.fixture(scope='module', params=MESHES)
def mesh(request):
  return sharded.mesh(request.param)


@pytest.fixture(scope='module')
def sampled(mesh):
  """The compiled rollout, and what it returns."""
  program, _ = lowered.lowered_rollout(mesh)
  return program.compile(tiny.QUICK), program.out_info


@pytest.fixture(scope='module')
def updated(mesh):
  """The compiled update, its parameters and its optimizer state."""
  program, (policy, state, *_) = lowered.lowered_update(mesh)
  return program.compile(tiny.QUICK), policy, state


def test_an_update_holds_no_whole_weight(updated):
  program, policy, _ = updated
  weights = [
    x for name, x in named_leaves(policy.model).items()
    if name.startswith('layers.') and name.endswith('.weight')
  ]  # fmt: skip
  cut = [x for x in weights if x.sharding.shard_shape(x.shape) != x.shape]
  there = shapes(program.as_text())
  assert len(cut) == 7
  assert {x.sharding.shard_shape(x.shape) for x in cut} <= there
  assert not {x.shape for x in cut} & there


def test_what_an_update_returns_is_cut_as_the_parameters_are(updated):
  program, policy, state = updated
  *_, gradient, _ = program.output_shardings  # of which nothing was stated
  for name, x in named_leaves(policy).items():
    place = named_leaves(gradient)[name]
    assert place.is_equivalent_to(x.sharding, x.ndim), name
  # The optimizer's two moments of each parameter lie where it does.
  places = lambda leaves: sorted(
    (x.shape, x.sharding.shard_shape(x.shape)) for x in leaves
  )
  moments = [x for x in jax.tree.leaves(state) if x.ndim]
  assert places(moments) == places(2 * jax.tree.leaves(policy))


def test_an_update_holds_no_activations_of_other_devices(mesh, updated):
  program, *_ = updated
  whole = B, P + T, CONFIG.width
  place = jax.NamedSharding(mesh, sharding.spec('b t d', whole, mesh))
  there = shapes(program.as_text())
  assert place.shard_shape(whole) in there
  assert whole not in there


def test_an_update_moves_no_logits(mesh, updated):
  program, *_ = updated
  assert not logits_that_move(program.as_text(), mesh)


def test_parameters_and_optimizer_are_updated_in_place(updated):
  program, *trees = updated
  held = lowered.bytes_per_device(trees)
  assert program.memory_analysis().alias_size_in_bytes >= held


def test_a_rollout_moves_no_logits(mesh, sampled):
  program, *_ = sampled
  assert not logits_that_move(program.as_text(), mesh)


def test_a_rollout_holds_its_part_of_the_cache_and_its_rows(mesh, sampled):
  program, trajectory = sampled
  whole = lambda rows, slots: (rows, CONFIG.kv_heads, slots, CONFIG.head_dim)

  def part(*size):
    shape = whole(*size)
    place = jax.NamedSharding(mesh, sharding.spec('b k s h', shape, mesh))
    assert prod(shape) == 8 * prod(place.shard_shape(shape))
    return place.shard_shape(shape)  # by heads, or by slots

  # Of the prompts and of the completions; in the loop, as the prefill gathers.
  name = ','.join(map(str, part(B, T)))
  there = shapes(lowered.loop_body(program.as_text(), f'[{name}]'))
  assert {part(PROMPTS, P), part(B, T)} <= there
  repeated = part(B, P), part(B, P + T)
  assert not {whole(PROMPTS, P), whole(B, T), *repeated} & there
  rows = B // (mesh.shape['data'] * mesh.shape['fsdp'])
  places = program.output_shardings._replace(steps=None)
  per_row = trajectory._replace(steps=None)
  cut = jax.tree.map(lambda x, at: at.shard_shape(x.shape)[0], per_row, places)
  assert {*jax.tree.leaves(cut)} == {rows}
