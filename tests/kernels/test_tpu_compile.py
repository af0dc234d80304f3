"""The Pallas kernels compile for a TPU that need not be there.

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


@pytest.mark.parametrize('kernel', ['from logits', 'from hidden'])
@pytest.mark.parametrize('shape', SHAPES)
def test_compiles_for_one_v5e(compiled, shape, kernel):
  assert compiled[f'{shape}, {kernel}'] is True


@pytest.mark.parametrize('kernel', ['from logits', 'from hidden'])
def test_is_the_default_inside_shard_map(compiled, kernel):
  assert compiled[f'sharded, {kernel}'] is True


def _compile_all():
  """Whether each program has the kernel in it, as one line of JSON."""
  import jax
  from jax.experimental.topologies import get_topology_desc
  from jax.sharding import Mesh, NamedSharding, PartitionSpec

  from latent_kernels import soft_embedding, vocabulary_attention

  devices = get_topology_desc(platform='tpu', topology_name='v5e:2x2x1').devices
  by_row, whole = PartitionSpec('data'), PartitionSpec()

  def has_kernel(f, devices, tokens, vocab, d, dtype, of=soft_embedding):
    mesh = Mesh(devices, 'data')
    inputs = {
      soft_embedding: ((tokens, vocab), 'float32'),
      vocabulary_attention: ((tokens, d), dtype),
    }
    rows, table = (
      jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))
      for shape, dtype, spec in (
        (*inputs[of], by_row),
        ((vocab, d), dtype, whole),
      )
    )
    text = jax.jit(f(mesh, of)).lower(rows, table).compile().as_text()
    # No product of its own beside the kernel's.
    return 'tpu_custom_call' in text and ' convolution(' not in text

  def alone(mesh, of):
    return functools.partial(of, implementation='pallas')

  def sharded(mesh, of):
    specs = {'in_specs': (by_row, whole), 'out_specs': by_row}
    return jax.shard_map(of, mesh=mesh, **specs)

  kernels = {
    'from logits': soft_embedding,
    'from hidden': vocabulary_attention,
  }
  found = {}
  for kernel, of in kernels.items():
    for name, shape in SHAPES.items():
      there = has_kernel(alone, devices[:1], *shape, of=of)
      found[f'{name}, {kernel}'] = there
    shape = SHAPES['Qwen2.5-1.5B']
    found[f'sharded, {kernel}'] = has_kernel(sharded, devices, *shape, of=of)
  print(json.dumps(found))


if __name__ == '__main__':
  _compile_all()
