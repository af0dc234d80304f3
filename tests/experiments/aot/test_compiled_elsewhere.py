"""Counts of programs for machines that are not there.

A compiler for a TPU writes products as convolutions and spreads a collective
over several fusions; one for a GPU calls cuBLAS or writes Triton. libtpu keeps
global state, so a process of its own runs this file as a script.
"""

import importlib.util
import json
import sys

import pytest

from tests.scripts import printed_by

TPU, GPU = 'libtpu', 'jax_cuda13_plugin'
TARGETS = {
  'v5e:2x4': TPU,
  'v5p:2x2x2': TPU,
  'tpu7x:2x2x1': TPU,
  'h100:1x1x8': GPU,
  'h200:1x2x4': GPU,
}
FIRST = 'v5e:2x4', 'h100:1x1x8'  # of each compiler; it compiles for all alike


@pytest.fixture(
  scope='module',
  params=[
    pytest.param(name, marks=[] if name in FIRST else pytest.mark.slow)
    for name in TARGETS
  ],
)
def found(request):
  """What `_counts` prints for a target."""
  if importlib.util.find_spec(TARGETS[request.param]) is None:
    pytest.skip(f'{TARGETS[request.param]}, a compiler, is not installed')
  return printed_by(__file__, request.param)


def test_products_of_any_shape_are_counted(found):
  assert found['flops'] == {
    'plain': 2 * 512 * 256 * 384 / 8,
    'batched': 2 * 16 * 128 * 64 * 256 / 8,
    'transposed': 2 * 512 * 256 * 384 / 8,
    'heads': 2 * 8 * 4 * 64 * 32 * 128 / 8,
    'loop': 5 * 2 * 512 * 256 * 256 / 8,
  }


def test_gathered_weights_are_counted_once_a_round(found):
  """Four layers of 256 x 256 bfloat16, cut in eight, gathered in a loop."""
  sent = found['gathered']
  assert sent['all-gather'] == pytest.approx(4 * 256 * 256 * 2 * 7 / 8)


def test_large_weights_are_read_in_every_round(found):
  """Five products with a matrix of 128 MiB, which no chip's memory holds, and
  perhaps a transposed copy of it before the loop."""
  once = 8192 * 8192 * 2
  assert 5 * once <= found['read'] < 7.1 * once


def _counts(name: str):
  import jax
  import jax.numpy as jnp
  from jax.sharding import Mesh, NamedSharding, PartitionSpec

  from experiments.aot.compiled import program_cost
  from experiments.aot.targets import target

  mesh = Mesh(target(name).devices, 'x')

  def shape(dims, *cut):
    where = NamedSharding(mesh, PartitionSpec(*cut))
    return jax.ShapeDtypeStruct(dims, 'bfloat16', sharding=where)

  def counted(program, *args):
    return program_cost(jax.jit(program).lower(*args).compile().as_text())

  def loop(x, w):
    return jax.lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, None, 5)[0]

  def layers(x, stack):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, stack)[0]

  product = lambda letters: lambda x, w: jnp.einsum(letters, x, w)
  x, w = shape((512, 256), 'x'), shape((256, 384))
  programs = {
    'plain': (product('bi,io->bo'), x, w),
    'batched': (product('bik,bkj->bij'), shape((16, 128, 256), 'x'),
                shape((16, 256, 64), 'x')),
    'transposed': (product('bi,oi->bo'), x, shape((384, 256))),
    'heads': (product('bnth,bnsh->bnts'), shape((8, 4, 64, 128), 'x'),
              shape((8, 4, 32, 128), 'x')),
    'loop': (loop, x, shape((256, 256))),
  }  # fmt: skip
  heavy = counted(loop, shape((64, 8192), 'x'), shape((8192, 8192)))
  gathered = counted(layers, x, shape((4, 256, 256), None, 'x')).collectives
  print(json.dumps({
    'flops': {name: counted(*p).flops for name, p in programs.items()},
    'read': heavy.traffic,
    'gathered': {kind: c.sent for kind, c in gathered.items()},
  }))  # fmt: skip


if __name__ == '__main__':
  _counts(sys.argv[1])
