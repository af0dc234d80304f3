"""Where arrays live, and that it changes no result. Eight CPU devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from hybrid_latent import sharding
from hybrid_latent.models.transformer import letters
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.replay import replay
from hybrid_latent.trees import combine, named_leaves, partition
from tests import tiny
from tests.tiny import FEEDBACKS, STOPS, sample

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
  assert shape() == {'data': 8, 'fsdp': 1, 'tensor': 1}
  assert shape(tensor=2) == {'data': 4, 'fsdp': 1, 'tensor': 2}
  expected = {'data': 2, 'fsdp': 4, 'tensor': 1}
  assert shape(data=2, fsdp=-1) == expected


@pytest.mark.parametrize(
  'sizes',
  [{'tensor': 3}, {'data': 4}, {'fsdp': -1}, {'data': 0}, {'fsdp': 0}],
)
def test_other_meshes_are_refused(sizes):
  with pytest.raises(ValueError, match=r'the 8 devices.*write -1'):
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


@pytest.mark.parametrize('name', ['gated', 'soft', 'switching'])
def test_parameters_and_rollout_are_cut_and_nothing_else_changes(mesh, name):
  """Tokens are the same; log-probs and gradients but for rounding."""
  feedback = FEEDBACKS[name]
  policy = tiny.policy(0, feedback)
  kinds = {n: x.dtype for n, x in named_leaves(policy).items()}
  is_float = lambda name: jnp.issubdtype(kinds[name], jnp.floating)
  prompt = tiny.prompts((6, 3, 1, 4))
  how = {'sampling': sampling(top_k=40), 'stop': tiny.stop(STOPS)}

  @partial(jax.jit, compiler_options=tiny.QUICK)
  @partial(jax.value_and_grad, has_aux=True)
  def score(floats, ids, prompt, out):
    policy = combine(floats, ids)
    log_probs = replay(policy, feedback, prompt, out).log_probs
    return log_probs.sum(), log_probs

  def run(policy, prompt):
    out = sample(policy, feedback, prompt, jax.random.key(0), **how)
    return out, *score(*partition(policy, is_float), prompt, out)

  alone, (_, log_probs), gradient = run(policy, prompt)
  with jax.set_mesh(mesh):
    places = sharding.shardings(policy, letters, mesh)
    placed = jax.device_put(policy, places)
    out, (_, scores), slopes = run(placed, sharding.from_host(prompt, mesh))

  cut = {n: s.spec for n, s in named_leaves(places).items()}
  assert cut['model.embedding'] == P(('tensor',), ('fsdp',))
  assert cut['model.layers.q.weight'] == P(None, ('tensor',), ('fsdp',))
  assert cut['model.layers.down.weight'] == P(None, ('fsdp',), ('tensor',))
  whole = [spec for name, spec in cut.items() if name.startswith('feedback.')]
  assert {cut['model.norm'], *whole} == {P()}
  assert len(out.tokens.sharding.device_set) == 8
  np.testing.assert_array_equal(out.tokens, alone.tokens)
  np.testing.assert_array_equal(out.mask, alone.mask)
  close = partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
  close(out.log_probs, alone.log_probs)
  assert out.latent.any()
  jax.tree.map(close, out.record, alone.record)
  close(scores, log_probs)
  gradient, slopes = jax.device_get((gradient, slopes))
  scale = max(np.abs(x).max() for x in jax.tree.leaves(gradient))
  jax.tree.map(lambda x, y: close(x / scale, y / scale), slopes, gradient)
