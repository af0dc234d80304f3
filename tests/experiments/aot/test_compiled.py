"""Counts of compiled programs against counts by hand, on eight CPU devices."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from experiments.aot.compiled import Collective, program_cost
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.ops.attention import causal_mask, positions
from hybrid_latent.trees import named_leaves
from tests import tiny

P = PartitionSpec
N = 8


@pytest.fixture(scope='module')
def mesh():
  return jax.make_mesh((4, 2), ('a', 'b'), axis_types=(AxisType.Auto,) * 2)


def shape(mesh, dims, *cut, dtype='float32'):
  return jax.ShapeDtypeStruct(
    dims, dtype, sharding=NamedSharding(mesh, P(*cut))
  )


def compiled(program, *args, **options):
  """As outside the tests, where nobody is in a hurry to compile."""
  thorough = {
    'xla_backend_optimization_level': 3,
    'xla_cpu_use_fusion_emitters': True,
  }
  lowered = jax.jit(program, **options).lower(*args)
  return lowered.compile(thorough).as_text()


def test_a_product_costs_two_operations_a_multiplication(mesh):
  x, w = shape(mesh, (64, 32), 'a'), shape(mesh, (32, 16), None, 'b')
  found = program_cost(compiled(jnp.dot, x, w))
  assert found.flops == 2 * 64 * 32 * 16 / N
  assert found.collectives == {}


def test_the_body_of_a_loop_counts_as_often_as_it_runs(mesh):
  x, w = shape(mesh, (64, 32), 'a'), shape(mesh, (32, 32))

  def five(x, w):
    return jax.lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, None, 5)[0]

  text = compiled(five, x, w)
  assert program_cost(text).flops == 5 * 2 * 64 * 32 * 32 / 4
  assert program_cost(text).unknown == 0
  (once,) = [jax.jit(five).lower(x, w).compile().cost_analysis()]
  assert (
    once['flops'] < 2 * program_cost(text).flops / 5
  )  # XLA's own: the body once


def test_nested_loops_multiply(mesh):
  x, w = shape(mesh, (64, 32), 'a'), shape(mesh, (32, 32))

  def twelve(x, w):
    inner = lambda x, _: (jnp.tanh(x @ w), None)
    outer = lambda x, _: (jax.lax.scan(inner, x, None, 4)[0], None)
    return jax.lax.scan(outer, x, None, 3)[0]

  assert program_cost(compiled(twelve, x, w)).flops == 12 * 2 * 64 * 32 * 32 / 4


def test_of_nested_loops_without_an_end_the_outer_one_gets_the_rounds(mesh):
  x, w = shape(mesh, (64, 32), 'a'), shape(mesh, (32, 32))

  def until(times, x):
    again = lambda x: x.sum() < 7.0
    return jax.lax.while_loop(again, times, x)

  def nested(x, w):
    inner = lambda x: jnp.tanh(x @ w)
    return until(lambda x: until(inner, x), x)

  found = program_cost(compiled(nested, x, w), trip_count=10)
  assert found.flops == 10 * 2 * 64 * 32 * 32 / 4


def test_loops_without_a_known_end_share_the_rounds(mesh):
  x, w = shape(mesh, (64, 32), 'a'), shape(mesh, (32, 32))

  def until(x, w):
    for _ in range(2):
      x = jax.lax.while_loop(
        lambda x: x.sum() < 7.0, lambda x: jnp.tanh(x @ w), x
      )
    return x

  found = program_cost(compiled(until, x, w), trip_count=10)
  assert found.flops == 10 * 2 * 64 * 32 * 32 / 4
  assert found.unknown == 2
  assert found.collectives['all-reduce'].count == 10


@pytest.mark.parametrize(
  ('cut', 'out', 'kind', 'sent'),
  [
    # 64 x 32 float32, 8192 bytes, over the four devices of an axis.
    (P('a'), P(), 'all-gather', 8192 * 3 / 4),
    (P('a'), P(None, 'a'), 'all-to-all', 8192 / 4 * 3 / 4),
  ],
)
def test_bytes_that_a_device_sends(mesh, cut, out, kind, sent):
  x = jax.ShapeDtypeStruct(
    (64, 32), 'float32', sharding=NamedSharding(mesh, cut)
  )
  text = compiled(lambda x: x, x, out_shardings=NamedSharding(mesh, out))
  assert program_cost(text).collectives == {kind: Collective(1, sent, 0)}


def test_a_sum_over_devices_is_an_all_reduce(mesh):
  x, w = shape(mesh, (64, 32), None, 'a'), shape(mesh, (32, 16), 'a')
  text = compiled(jnp.dot, x, w, out_shardings=NamedSharding(mesh, P()))
  (found,) = program_cost(text).collectives.items()
  assert found == ('all-reduce', Collective(1, 2 * 64 * 16 * 4 * 3 / 4, 0))


def test_what_leaves_a_host_is_told_apart(mesh):
  x = shape(mesh, (64, 32), ('a', 'b'))
  along = lambda axes: compiled(
    lambda x: x, x, out_shardings=NamedSharding(mesh, P(axes))
  )
  hosts = [0, 0, 1, 1, 2, 2, 3, 3]  # each has the two devices of axis b
  inside = program_cost(along('a'), hosts=hosts).collectives['all-gather']
  assert inside.sent > 0 and inside.between_hosts == 0
  out = program_cost(along(None), hosts=hosts).collectives['all-gather']
  assert out.between_hosts == out.sent > 0


def test_memory_is_read_and_written_once_a_fusion(mesh):
  x = shape(mesh, (1024, 1024), 'a')
  found = program_cost(compiled(lambda x: jnp.tanh(x) * 2 + 1, x))
  assert found.traffic == 2 * 1024 * 1024 * 4 / 4


def test_a_slice_of_a_stack_is_read_not_the_stack(mesh):
  stack = shape(mesh, (100, 256, 256))
  x = shape(mesh, (256,))

  def one(x, i, stack):
    return x + jax.lax.dynamic_index_in_dim(stack, i, keepdims=False).sum(0)

  text = compiled(one, x, jax.ShapeDtypeStruct((), 'int32'), stack)
  assert 256 * 256 * 4 <= program_cost(text).traffic < 3.1 * 256 * 256 * 4


def test_an_update_costs_six_operations_a_parameter_and_token():
  """Forward 2, backward 4 (arXiv 2001.08361), and attention's two products."""
  c = tiny.CONFIG
  model = jax.eval_shape(partial(Transformer, c), jax.random.key(0))
  b, t = 4, 32
  tokens = jax.ShapeDtypeStruct((b, t), 'int32')

  def loss(model, tokens):
    mask = jnp.ones(tokens.shape, bool)
    x = model.embed(tokens)
    hidden, _ = model.forward(x, None, positions(mask), causal_mask(mask))
    return jax.nn.log_softmax(model.unembed(hidden))[..., 0].mean()

  found = program_cost(compiled(jax.grad(loss), model, tokens)).flops
  # Norms are no products, and the table is one: that of the head.
  named = named_leaves(model).items()
  weights = sum(x.size for name, x in named if 'norm' not in name)
  attention = 2 * 2 * b * c.heads * t * t * c.head_dim * c.layers
  assert found == 6 * weights * b * t + 3 * attention
