"""Trajectories in files: whole, as they were, or refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from hybrid_latent.formats import rollouts
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.types import Prompt, Trajectory
from tests import tiny

NOTES = {'step': 3, 'rows': [{'question': 'é\u2028?', 'answer': ['1', '2']}]}


def batch(record=()):
  rng = np.random.default_rng(0)
  mask = np.arange(4) < np.array([[4], [2]])
  floats = lambda *shape: rng.normal(size=shape).astype(np.float32)
  prompt = Prompt(
    tokens=np.arange(6, dtype=np.int32).reshape(2, 3),
    mask=mask[:, :3],
    ids=np.arange(2, dtype=np.int32),
  )
  trajectory = Trajectory(
    tokens=rng.integers(0, 9, (2, 4)).astype(np.int32),
    mask=mask,
    policy_mask=mask.copy(),
    log_probs=floats(2, 4),
    behavior_log_probs=floats(2, 4),
    thinking_mask=mask & False,
    latent_share=floats(4, 2).T,  # not contiguous
    record=record,
    terminated=np.array([False, True]),
    steps=np.int32(4),
  )
  return prompt, trajectory


RECORDS = {
  'none': (),
  'gated': {'h': np.ones((2, 4, 8), jnp.bfloat16), 'mixed': np.eye(2, 4) > 0},
  'nested': {
    'inner': {'values': np.zeros((2, 4, 0), np.float16), 'ids': np.arange(2)},
    'mode': np.uint8([1, 2]),
  },
}


def assert_same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert isinstance(x, np.ndarray)
    assert (x.shape, x.dtype) == (np.shape(y), y.dtype)
    assert x.tobytes() == np.asarray(y).tobytes()


@pytest.mark.parametrize('record', RECORDS)
def test_a_batch_comes_back_bit_for_bit(record, tmp_path):
  tree = batch(RECORDS[record])
  rollouts.write(tmp_path / 'x', *tree, NOTES)
  *found, notes = rollouts.read(tmp_path / 'x')
  assert_same(tuple(found), tree)
  assert [type(x) for x in found] == [Prompt, Trajectory]
  assert found[1].lengths.tolist() == [4, 2]
  assert notes == NOTES


@pytest.mark.parametrize('name', sorted(tiny.FEEDBACKS))
def test_every_record_comes_back_as_what_it_was(name):
  """Dicts of arrays: a NamedTuple would come back as a dict."""
  feedback = tiny.FEEDBACKS[name]
  policy, prompt = tiny.policy(0, feedback), tiny.prompts()
  sample = lambda: tiny.sample.__wrapped__(
    policy, feedback, prompt, jax.random.key(0), max_steps=2, group=2,
    sampling=sampling(), stop=tiny.stop(()),
  )  # fmt: skip
  shapes = jax.eval_shape(sample).record
  nodes = jax.tree.leaves(shapes, is_leaf=lambda x: type(x) is not dict)
  assert all(isinstance(x, jax.ShapeDtypeStruct) for x in nodes if x != ())


def test_arrays_of_jax_and_a_trajectory_without_steps(tmp_path):
  prompt, trajectory = jax.tree.map(jnp.asarray, batch())
  rollouts.write(tmp_path / 'x', prompt, trajectory._replace(steps=()), {})
  *found, notes = rollouts.read(tmp_path / 'x')
  assert_same(tuple(found), (prompt, trajectory._replace(steps=())))
  assert notes == {}


def test_tensors_are_named_by_their_path(tmp_path):
  rollouts.write(tmp_path / 'x', *batch(RECORDS['nested']), {})
  with safe_open(tmp_path / 'x', 'numpy') as file:
    names = set(file.keys())
  assert {
    'prompt.tokens',
    'trajectory.steps',
    'trajectory.record.inner.values',
    'trajectory.record.mode',
  } <= names


def test_a_file_appears_whole_and_takes_the_place_of_another(tmp_path):
  path = tmp_path / 'new' / 'x'
  rollouts.write(path, *batch(), {'step': 1})
  with pytest.raises(TypeError):
    rollouts.write(path, *batch(), {'step': object()})
  assert rollouts.read(path)[2] == {'step': 1}
  rollouts.write(path, *batch(), {'step': 2})
  assert rollouts.read(path)[2] == {'step': 2}
  assert list(path.parent.iterdir()) == [path]


def test_others_may_read_it(tmp_path):
  (tmp_path / 'plain').touch()
  rollouts.write(tmp_path / 'x', *batch(), {})
  modes = {(tmp_path / name).stat().st_mode for name in ('plain', 'x')}
  assert len(modes) == 1


@pytest.mark.parametrize('share', [0, 0.01, 0.5, 0.99])
def test_half_a_file_is_refused(share, tmp_path):
  path = tmp_path / 'half'
  rollouts.write(path, *batch(), {})
  data = path.read_bytes()
  path.write_bytes(data[: int(share * len(data))])
  with pytest.raises(ValueError, match=r'half(: .*a whole file| is empty)'):
    rollouts.read(path)


def test_a_file_of_another_program_is_refused(tmp_path):
  save_file({'a': np.ones(2)}, tmp_path / 'x')
  with pytest.raises(ValueError, match=r"x: .*None.*'hybrid_latent\.rollouts/"):
    rollouts.read(tmp_path / 'x')


def test_a_lost_tensor_is_named(tmp_path):
  path = tmp_path / 'x'
  rollouts.write(path, *batch(), {})
  with safe_open(path, 'numpy') as file:
    metadata, arrays = file.metadata(), file.get_tensors()
  arrays.pop('trajectory.free')
  save_file(arrays, path, metadata)
  with pytest.raises(ValueError, match=r"x: .*'policy_mask'"):
    rollouts.read(path)


@pytest.mark.parametrize(
  ('name', 'shape', 'told'),
  [
    (
      'trajectory.mask',
      (2, 5),
      r'mask has shape \(2, 5\), where others ',
    ),
    (
      'trajectory.log_probs',
      (2,),
      r"log_probs has shape .* the axes 'bt'",
    ),
    (
      'trajectory.ended',
      (3,),
      r'ended has shape \(3,\), .* have b = 2',
    ),
    (
      'prompt.ids',
      (1,),
      r'ids has shape \(1,\), .* have u = 2',
    ),
  ],
)
def test_arrays_that_do_not_fit_each_other(name, shape, told, tmp_path):
  path = tmp_path / 'x'
  rollouts.write(path, *batch(), {})
  with safe_open(path, 'numpy') as file:
    metadata, arrays = file.metadata(), file.get_tensors()
  arrays[name] = np.zeros(shape, arrays[name].dtype)
  save_file(arrays, path, metadata)
  with pytest.raises(ValueError, match=rf'x: .*{told}'):
    rollouts.read(path)
