"""The Pallas kernel compiles for a TPU that need not be there.

libtpu brings the compiler. It writes to stderr and keeps global state, so a
process of its own runs this file as a script.
"""

import functools
import importlib.util
import json
import os
import subprocess
import sys

import pytest

SHAPES = {  # tokens, vocab, d, dtype
  'odd': (1, 301, 40, 'float32'),
  'SmolLM2-135M': (7, 49152, 576, 'bfloat16'),
  'Qwen2.5-1.5B': (8, 151936, 1536, 'bfloat16'),
  'widest float32': (264, 32001, 8192, 'float32'),
  'widest bfloat16': (264, 32001, 16384, 'bfloat16'),
}


@pytest.fixture(scope='module')
def compiled():
  if importlib.util.find_spec('libtpu') is None:
    pytest.skip('libtpu, the compiler for TPUs, is not installed')
  ran = subprocess.run(
    [sys.executable, __file__],
    # Ask no cloud which TPU this is; share the machine with other compilers.
    env={
      **os.environ,
      'TPU_SKIP_MDS_QUERY': '1',
      'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
      'PYTHONPATH': os.pathsep.join(sys.path),
    },
    capture_output=True,
    text=True,
  )
  assert ran.returncode == 0, ran.stderr
  return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize('shape', SHAPES)
def test_compiles_for_one_v5e(compiled, shape):
  assert compiled[shape] is True


def test_is_the_default_inside_shard_map(compiled):
  assert compiled['sharded'] is True


def _compile_all():
  """Whether each program has the kernel in it, as one line of JSON."""
  import jax
  from jax.experimental.topologies import get_topology_desc
  from jax.sharding import Mesh, NamedSharding, PartitionSpec

  from latent_kernels import soft_embedding

  devices = get_topology_desc(platform='tpu', topology_name='v5e:2x2x1').devices
  by_row, whole = PartitionSpec('data'), PartitionSpec()

  def has_kernel(f, devices, tokens, vocab, d, dtype):
    mesh = Mesh(devices, 'data')
    logits, table = (
      jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))
      for shape, dtype, spec in (
        ((tokens, vocab), 'float32', by_row),
        ((vocab, d), dtype, whole),
      )
    )
    program = jax.jit(f(mesh)).lower(logits, table).compile()
    return 'tpu_custom_call' in program.as_text()

  def alone(mesh):
    return functools.partial(soft_embedding, implementation='pallas')

  def sharded(mesh):
    specs = {'in_specs': (by_row, whole), 'out_specs': by_row}
    return jax.shard_map(soft_embedding, mesh=mesh, **specs)

  found = {
    name: has_kernel(alone, devices[:1], *shape)
    for name, shape in SHAPES.items()
  }
  found['sharded'] = has_kernel(sharded, devices, *SHAPES['Qwen2.5-1.5B'])
  print(json.dumps(found))


if __name__ == '__main__':
  _compile_all()
