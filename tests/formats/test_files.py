"""Whatever goes wrong with a file is said with its name."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from hybrid_latent.formats.files import FileError, reading
from hybrid_latent.formats.parsed import file_tensors, parsed_json, read_json


@pytest.mark.parametrize(
  ('error', 'told'),
  [
    (ValueError('a = 5: it is 6'), 'x: a = 5: it is 6: fetch it'),
    (KeyError('a'), "x: there is no 'a': fetch it"),
    (RuntimeError('two\n  lines'), 'x: two lines: fetch it'),
    (RuntimeError(), 'x: RuntimeError: fetch it'),
    (ValueError('a = 5: accepted is 6'), 'x: a = 5: accepted is 6'),
    (FileError('y: is known'), 'y: is known'),
  ],
)
def test_an_error_gets_the_name_of_the_file(error, told, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'x').write_text('something')
  with pytest.raises(FileError) as raised, reading('x', ': fetch it'):
    raise error
  assert str(raised.value) == told


def test_a_file_that_there_is_not(tmp_path):
  with pytest.raises(FileNotFoundError) as error:
    read_json(tmp_path / 'x')
  assert str(error.value) == f'{tmp_path / "x"} does not exist'


def test_what_ends_a_run_goes_on():
  with pytest.raises(KeyboardInterrupt), reading('x'):
    raise KeyboardInterrupt


def test_json_reads_what_json_is():
  value = {'a': [1, 2.5, None, True], 'é': {'\u2028': 'b'}}
  assert parsed_json(json.dumps(value)) == value
  assert parsed_json('{"a": 1, "a": 1}') == {'a': 1}  # it contradicts nothing


def test_a_file_may_be_asked_for_integers(tmp_path):
  path = tmp_path / 'x.safetensors'
  save_file({'a': np.arange(3, dtype=np.int32)}, path)
  assert file_tensors(path, ['I32'])['a'].read().tolist() == [0, 1, 2]
  with pytest.raises(ValueError, match=r'a has dtype I32: accepted is one of'):
    file_tensors(path)


def test_an_empty_array_is_one(tmp_path):
  path = tmp_path / 'x.safetensors'
  save_file({'a': np.zeros((0, 3), np.float32)}, path)
  assert file_tensors(path)['a'].shape == (0, 3)
