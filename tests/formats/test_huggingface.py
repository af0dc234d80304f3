"""Folders: refused, and replaced whole or not at all."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from hybrid_latent.formats.export import new_folder
from hybrid_latent.formats.huggingface import folder_tensors


@pytest.mark.parametrize('dtype', ['float32', 'float16', 'bfloat16'])
def test_tensors_keep_their_bits(tmp_path, dtype):
  array = np.arange(12).reshape(3, 4).astype(jnp.dtype(dtype))
  save_file({'a': array}, tmp_path / 'model.safetensors')
  tensor = folder_tensors(tmp_path)['a']
  assert tensor.shape == (3, 4)
  assert tensor.read().dtype == array.dtype
  assert tensor.read().tobytes() == array.tobytes()


def test_pickled_weights_are_refused(tmp_path):
  (tmp_path / 'pytorch_model.bin').write_bytes(b'')
  with pytest.raises(ValueError, match=r'pytorch_model\.bin.*run code'):
    folder_tensors(tmp_path)


def test_an_empty_folder_says_what_is_accepted(tmp_path):
  with pytest.raises(ValueError, match=r'model\.safetensors'):
    folder_tensors(tmp_path)


def test_integer_weights_are_refused(tmp_path):
  save_file({'a': np.zeros(3, np.int8)}, tmp_path / 'model.safetensors')
  with pytest.raises(ValueError, match=r'tensor a has dtype I8.*BF16'):
    folder_tensors(tmp_path)


@pytest.mark.parametrize(
  'file', ['../x.safetensors', '/x.safetensors', 'x.bin']
)
def test_an_index_cannot_leave_its_folder(tmp_path, file):
  index = json.dumps({'weight_map': {'a': file}})
  (tmp_path / 'model.safetensors.index.json').write_text(index)
  with pytest.raises(ValueError, match='weight_map'):
    folder_tensors(tmp_path)


def test_an_index_that_promises_too_much_is_refused(tmp_path):
  save_file({'a': np.zeros(3, np.float32)}, tmp_path / 'x.safetensors')
  index = {'weight_map': {'a': 'x.safetensors', 'b': 'x.safetensors'}}
  (tmp_path / 'model.safetensors.index.json').write_text(json.dumps(index))
  with pytest.raises(ValueError, match=r"no file has: \['b'\]"):
    folder_tensors(tmp_path)


def test_new_folder_appears_whole(tmp_path):
  with new_folder(tmp_path / 'out') as folder:
    (folder / 'config.json').write_text('{}')
    assert not (tmp_path / 'out').exists()
  assert [p.name for p in tmp_path.rglob('*')] == ['out', 'config.json']


def test_new_folder_leaves_nothing_after_an_error(tmp_path):
  with pytest.raises(RuntimeError), new_folder(tmp_path / 'out') as folder:
    (folder / 'config.json').write_text('{}')
    raise RuntimeError
  assert list(tmp_path.iterdir()) == []


def test_new_folder_replaces_only_models_and_only_when_told(tmp_path):
  out = tmp_path / 'out'
  out.mkdir()
  (out / 'precious').write_text('x')
  with pytest.raises(FileExistsError, match='is no model'):
    new_folder(out, overwrite=True).__enter__()
  (out / 'config.json').write_text('old')
  with pytest.raises(FileExistsError, match='pass overwrite'):
    new_folder(out).__enter__()
  with pytest.raises(RuntimeError), new_folder(out, overwrite=True):
    raise RuntimeError
  assert (out / 'config.json').read_text() == 'old'
  with new_folder(out, overwrite=True) as folder:
    (folder / 'config.json').write_text('new')
  assert [p.name for p in tmp_path.rglob('*')] == ['out', 'config.json']
  assert (out / 'config.json').read_text() == 'new'
