"""Metadata of a GGUF file that is none: the key, and what is accepted."""

import gguf
import jax
import numpy as np
import pytest

from hybrid_latent.formats.pretrained import open_model
from hybrid_latent.models.transformer import Transformer
from tests.formats.test_gguf import config, write_gguf

TEXT, NUMBER = gguf.GGUFValueType.STRING, gguf.GGUFValueType.UINT32
LIST = gguf.GGUFValueType.ARRAY
TOKENS = [*'abcdefghijklmnopqrstuvwx']
END, SIZE = 'tokenizer.ggml.eos_token_id', 'llama.rope.dimension_count'
EPSILON = 'llama.attention.layer_norm_rms_epsilon'
MERGES = 'tokenizer.ggml.merges'


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  path = tmp_path_factory.mktemp('gguf') / 'whole.gguf'
  write_gguf(Transformer(config(), jax.random.key(0)), path)
  return path


def written(whole, path, changes):
  """The file with a tokenizer, and with some entries of its metadata changed:
  (type, value), or None for none."""
  entries = {
    'tokenizer.ggml.model': (TEXT, 'gpt2'),
    'tokenizer.ggml.pre': (TEXT, 'qwen2'),
    'tokenizer.ggml.tokens': (LIST, TOKENS),
    MERGES: (LIST, []),
  }
  reader = gguf.GGUFReader(whole)
  writer = gguf.GGUFWriter(path, 'llama')
  for name, field in reader.fields.items():
    if name.startswith(('llama.', 'tokenizer.')):
      entries[name] = field.types[0], field.contents()
  for name, entry in (entries | changes).items():
    if entry and entry[1] != []:
      writer.add_key_value(name, entry[1], entry[0], TEXT)
  for tensor in reader.tensors:
    writer.add_tensor(tensor.name, np.array(tensor.data))
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


WRONG = {
  'an end of text that is a text': (
    {END: (TEXT, 'x')},
    "eos_token_id = ['x', 5]: accepted is null or an id below vocab_size = 24",
  ),
  'an epsilon that is a text': (
    {EPSILON: (TEXT, 'x')},
    "rms_norm_eps = 'x': accepted is a number from",
  ),
  'rotations that are a text': (
    {SIZE: (TEXT, 'x')},
    f"{SIZE} = 'x': accepted is a whole number",
  ),
  'merges of three': (
    {MERGES: (LIST, ['a b c'])},
    'accepted are tokenizer.ggml.tokens, merges and token_type of a byte-lev',
  ),
  'no tokens': (
    {'tokenizer.ggml.tokens': None},
    'accepted are tokenizer.ggml.tokens, merges and token_type of a byte-lev',
  ),
  'a start of text that is none of the tokens': (
    {'tokenizer.ggml.tokens': (LIST, TOKENS[:2])},
    'accepted are tokenizer.ggml.tokens, merges and token_type of a byte-lev',
  ),
}


@pytest.mark.parametrize('name', WRONG)
def test_metadata_that_is_wrong(name, whole, tmp_path, now):
  changes, told = WRONG[name]
  path = written(whole, tmp_path / 'x.gguf', changes)
  with pytest.raises(ValueError) as error:
    open_model(path)
  text = str(error.value)
  now('GGUF metadata', name, text.replace(f'{tmp_path}/', ''))
  assert text.startswith(f'{path}: ')
  assert told in text
