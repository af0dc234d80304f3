"""Where arrays live, and that it changes no result. Eight CPU devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from hybrid_latent import sharding
from hybrid_latent.models.param_axes import param_axes

BATCH = ('data', 'fsdp')


@pytest.fixture(scope='module')
def mesh():
  return sharding.mesh(data=2, fsdp=2, tensor=2)


@pytest.mark.parametrize(
  ('names', 'shape', 'expected'),
  [
    ('b t d', (8, 5, 6), P(BATCH, None, None)),  # the rows have taken fsdp
    ('v d', (6, 4), P(('tensor',), ('fsdp',))),
    ('l n d', (3, 8, 4), P(None, ('tensor',), ('fsdp',))),
    ('l d f', (3, 4, 8), P(None, ('fsdp',), ('tensor',))),
    ('v d', (7, 4), P(None, ('fsdp',))),  # 2 does not divide 7
    ('v d', (6, 5), P(('tensor',), None)),
    ('b t', (6, 5), P(('data',), None)),  # 4 does not divide 6, but 2 does
    ('b t', (3, 5), P(None, None)),
    ('n f', (4, 4), P(('tensor',), None)),  # an axis cuts one dimension
    ('', (), P()),
  ],
)
def test_the_table(mesh, names, shape, expected):
  assert sharding.spec(names, shape, mesh) == expected


def test_letters_that_do_not_fit_are_refused(mesh):
  with pytest.raises(ValueError, match=r"'b t'.*\(2, 3, 4\)"):
    sharding.spec('b t', (2, 3, 4), mesh)


def test_a_mesh_takes_all_devices():
  shape = lambda **sizes: dict(sharding.mesh(**sizes).shape)
  sizes = lambda *sizes: dict(zip(sharding.MESH_AXES, sizes, strict=True))
  assert shape() == sizes(8, 1, 1, 1)
  assert shape(tensor=2) == sizes(4, 1, 2, 1)
  assert shape(data=2, fsdp=-1) == sizes(2, 4, 1, 1)
  assert shape(data=1, tensor=4, sequence=-1) == sizes(1, 1, 4, 2)


@pytest.mark.parametrize(
  'sizes',
  [{'tensor': 3}, {'data': 4}, {'fsdp': -1}, {'data': 0}, {'fsdp': 0}],
)
def test_other_meshes_are_refused(sizes):
  with pytest.raises(ValueError, match='the 8 devices: write sizes'):
    sharding.mesh(**sizes)


def test_constrain_does_nothing_without_a_mesh():
  x = jnp.zeros((8, 4))
  assert sharding.constrain(x, 'b d') is x


def test_constrain_places_on_the_ambient_mesh(mesh):
  with jax.set_mesh(mesh):
    place = jax.jit(lambda x: sharding.constrain(x + 1, 'v d'))
    x = place(jnp.zeros((8, 4)))
  expected = NamedSharding(mesh, P('tensor', 'fsdp'))
  assert x.sharding.is_equivalent_to(expected, 2)


def test_a_batch_goes_to_the_devices_and_back(mesh):
  tree = {
    'tokens': np.arange(24, dtype=np.int32).reshape(8, 3),
    'few': np.arange(6.0, dtype=np.float32),
    'scalar': np.float32(3),
    'empty': (),
  }
  there = sharding.from_host(tree, mesh)
  shards = {s.data.shape for s in there['tokens'].addressable_shards}
  assert shards == {(2, 3)}
  back = sharding.to_host(there)
  assert jax.tree.structure(back) == jax.tree.structure(tree)
  assert all(type(x) is np.ndarray for x in jax.tree.leaves(back))
  jax.tree.map(np.testing.assert_array_equal, back, tree)


def test_one_host_reduces_to_its_own_value():
  assert sharding.over_hosts(np.max, 7) == 7


def test_another_arrangement_keeps_the_order_of_the_devices(mesh):
  other = sharding.rearranged(mesh, tensor=4)
  assert other.axis_sizes == (2, 1, 4, 1)
  assert [*other.devices.flat] == [*mesh.devices.flat]


def test_a_mesh_of_given_devices():
  some = jax.devices()[2:6]
  assert {*sharding.mesh(fsdp=2, devices=some).devices.flat} == {*some}


def test_slots_take_the_tensor_axis_where_the_heads_cannot():
  mesh = sharding.mesh(data=1, tensor=4, sequence=2)
  spec = lambda heads: sharding.spec('b k s h', (8, heads, 16, 4), mesh)
  assert spec(4) == P(None, ('tensor',), ('sequence',), None)
  assert spec(2) == P(None, None, ('sequence', 'tensor'), None)


def test_parameters_stacked_or_not_and_whatever_is_shaped_like_them(mesh):
  shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, jnp.float32)
  tree = {
    'layers.q.weight': shape(3, 8, 4),
    '0.mu.layers.q.weight': shape(3, 8, 4),
    'layers.1.q.weight': shape(8, 4),
    'layers.1.q.bias': shape(8),
    'layers.down.lora.a': shape(3, 2, 6),
    'layers.down.lora.b': shape(3, 4, 2),
    'critic.model.embedding': shape(6, 4),
    'feedback.w_r': shape(4, 4),
    'layers.input_norm': shape(3, 4),
    'count': shape(),
  }
  tensor, fsdp = ('tensor',), ('fsdp',)
  places = sharding.shardings(tree, param_axes, mesh)
  assert {name: place.spec for name, place in places.items()} == {
    'layers.q.weight': P(None, tensor, fsdp),
    '0.mu.layers.q.weight': P(None, tensor, fsdp),
    'layers.1.q.weight': P(tensor, fsdp),
    'layers.1.q.bias': P(tensor),
    'layers.down.lora.a': P(None, None, tensor),
    'layers.down.lora.b': P(None, fsdp, None),
    'critic.model.embedding': P(tensor, fsdp),
    'feedback.w_r': P(None, fsdp),
    'layers.input_norm': P(),
    'count': P(),
  }


def test_a_batch_is_cut_by_row_and_position():
  mesh = sharding.mesh(data=2, fsdp=2, sequence=2)
  tree = {'tokens': jnp.zeros((8, 6)), 'record': jnp.zeros((8, 6, 4)),
          'odd': jnp.zeros((6, 5)), 'steps': jnp.zeros(())}  # fmt: skip
  places = sharding.rows(tree, mesh)
  assert {name: place.spec for name, place in places.items()} == {
    'tokens': P(BATCH, ('sequence',)),
    'record': P(BATCH, ('sequence',), None),
    'odd': P(('data',), None),
    'steps': P(),
  }
