"""What was saved comes back, on these devices or on others."""

import os
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from hybrid_latent import sharding
from hybrid_latent.checkpoint import Checkpoints

ROOT = Path(__file__).parents[1]
NOTES = {'data': {'next': 7, 'epochs': [1, None]}, 'config': '{"a": "ü"}'}


class Moments(NamedTuple):
  count: jax.Array
  mu: dict


def state(scale=1.0, parts=(('data', 'fsdp'), 'tensor')):
  """Parameters cut along both dimensions, and an optimizer's scalars."""
  mesh = sharding.mesh(data=2, fsdp=2, tensor=2)
  cut = NamedSharding(mesh, PartitionSpec(*parts))
  copies = NamedSharding(mesh, PartitionSpec())
  weight = scale * np.arange(32, dtype=np.float32).reshape(8, 4)
  half = scale * np.linspace(-1, 1, 6)
  return (
    {'layers': {'w': jax.device_put(weight, cut)}},
    Moments(
      count=jax.device_put(jnp.int32(3 * scale), copies),
      mu={'w': jax.device_put(half.astype(jnp.bfloat16), copies)},
    ),
  )


def same(got, want):
  assert jax.tree.structure(got) == jax.tree.structure(want)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    assert a.dtype == b.dtype
    assert a.sharding == b.sharding
    np.testing.assert_array_equal(a, b)


@pytest.fixture
def folder(tmp_path):
  return tmp_path / 'run'


@contextmanager
def opened(folder):
  """A run that begins, and ends."""
  with closing(Checkpoints(str(folder))) as checkpoints:
    yield checkpoints


def test_what_was_saved_comes_back(folder):
  with opened(folder) as checkpoints:
    assert checkpoints.latest is None
    checkpoints.save(5, state(), NOTES)
  with opened(folder) as checkpoints:
    assert checkpoints.latest == 5
    assert checkpoints.notes(5) == NOTES
    same(checkpoints.restore(5, state(0)), state())


def test_it_comes_back_to_where_it_is_wanted(folder):
  with opened(folder) as checkpoints:
    checkpoints.save(1, state(), {})
  with opened(folder) as checkpoints:
    other = None, ('tensor', 'data')
    same(checkpoints.restore(1, state(0, other)), state(1, other))
    device = jax.devices()[3]
    alone = checkpoints.restore(1, jax.device_put(state(0), device))
    same(alone, jax.device_put(state(), device))


def test_a_save_is_of_its_moment(folder):
  """The next update takes the arrays over while they are being written, or
  copies those that are still being read."""
  saved = state()
  step = jax.jit(
    lambda tree: jax.tree.map(lambda x: x - 100, tree), donate_argnums=0
  )
  with opened(folder) as checkpoints:
    checkpoints.save(1, saved, {})
    jax.block_until_ready(step(saved))
  with opened(folder) as checkpoints:
    same(checkpoints.restore(1, state(0)), state())


def test_only_the_newest_are_kept(folder):
  with opened(folder) as checkpoints:
    for step in (1, 2, 5):
      checkpoints.save(step, state(step), {'step': step})
  assert sorted(path.name for path in folder.iterdir()) == ['2', '5']
  with opened(folder) as checkpoints:
    for step in (2, 5):
      assert checkpoints.notes(step) == {'step': step}
      same(checkpoints.restore(step, state(0)), state(step))


def test_a_misfit_lists_the_arrays(folder):
  with opened(folder) as checkpoints:
    checkpoints.save(3, state(), {})
  parameters, moments = state()
  parameters['layers'] = {'w': jnp.zeros((8, 5)), 'bias': jnp.zeros(2)}
  with opened(folder) as checkpoints, pytest.raises(ValueError) as error:
    checkpoints.restore(3, (parameters, moments._replace(mu={})))
  head, *arrays, advice = str(error.value).splitlines()
  assert head == (
    'checkpoint 3 does not fit this configuration (3 arrays differ):'
  )
  assert arrays == [
    '  0.layers.bias: saved None, expected (2,)',
    '  0.layers.w: saved (8, 4), expected (8, 5)',
    '  1.mu.w: saved (6,), expected None',
  ]
  assert 'choose another --workdir' in advice


KILLED = """
import os, signal, sys
import jax.numpy as jnp
from hybrid_latent.checkpoint import Checkpoints
manager = Checkpoints(sys.argv[1])
manager.save(1, {'x': jnp.arange(4)}, {'step': 1})
manager.close()
manager = Checkpoints(sys.argv[1])
manager.save(2, {'x': jnp.ones(2**25)}, {'step': 2})  # 128 MiB
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_save_that_was_killed_leaves_the_one_before(folder):
  path = os.pathsep.join([str(ROOT), str(ROOT / 'kernels')])
  killed = subprocess.run(
    [sys.executable, '-c', KILLED, str(folder)],
    env=os.environ | {'PYTHONPATH': path},
    capture_output=True,
    text=True,
  )
  assert killed.returncode == -9, killed.stderr
  begun = {path.name for path in folder.iterdir()} - {'1'}
  assert len(begun) == 1 and '2' not in begun  # it had begun, and not ended
  with opened(folder) as checkpoints:
    assert checkpoints.latest == 1
    assert checkpoints.notes(1) == {'step': 1}
    like = {'x': jnp.zeros(4, jnp.int32)}
    same(checkpoints.restore(1, like), {'x': jnp.arange(4)})
    checkpoints.save(2, {'x': jnp.full(4, 2)}, {'step': 2})
  assert sorted(path.name for path in folder.iterdir()) == ['1', '2']
