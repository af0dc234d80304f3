"""GGUF files that are cut, claim what they do not have, or say it twice."""

import struct
import tracemalloc

import jax
import pytest

from hybrid_latent.formats.gguf import (
  gguf_fields,
  gguf_tensors,
  gguf_tokenizer,
  open_gguf,
)
from hybrid_latent.formats.pretrained import open_model
from hybrid_latent.formats.weights import model_from
from hybrid_latent.models.families import from_huggingface
from hybrid_latent.models.transformer import Transformer
from tests.formats.test_gguf import config, write_gguf
from tests.formats.test_tokenizer import write_vocabulary

STRING, ARRAY, U32 = 8, 9, 4


def text(value: bytes, length=None) -> bytes:
  length = len(value) if length is None else length
  return struct.pack('<Q', length) + value


def gguf(*entries: bytes, tensors=0, count=None) -> bytes:
  count = len(entries) if count is None else count
  return b'GGUF' + struct.pack('<IQQ', 3, tensors, count) + b''.join(entries)


def entry(kind: int, value: bytes, key=b'a') -> bytes:
  return text(key) + struct.pack('<I', kind) + value


TENSOR = text(b'x') + struct.pack('<I', 1) + struct.pack('<Q', 4)
ABSURD = {
  'entries': gguf(entry(U32, b'\0' * 4), count=2**60),
  'tensors': gguf(tensors=2**60),
  'an array': gguf(entry(ARRAY, struct.pack('<IQ', U32, 2**60))),
  'arrays in an array': gguf(entry(ARRAY, struct.pack('<IQ', ARRAY, 2**60))),
  'a string': gguf(entry(STRING, text(b'', 2**60))),
  'a name': gguf(text(b'', 2**62), count=1),
  'a tensor': gguf(TENSOR + struct.pack('<IQ', 0, 2**62), tensors=1),
  'no such quantisation': gguf(TENSOR + struct.pack('<IQ', 99, 0), tensors=1),
  'no such type': gguf(entry(77, b'\0' * 8)),
  'a key twice': gguf(entry(U32, b'\0' * 4), entry(U32, b'\1' * 4)),
  'nothing': gguf()[:12],
}


@pytest.mark.parametrize('name', ABSURD)
def test_counts_are_compared_with_the_file(name, tmp_path):
  path = tmp_path / 'x.gguf'
  path.write_bytes(ABSURD[name])
  tracemalloc.start()
  with pytest.raises(ValueError) as error:
    open_gguf(path)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert str(error.value).startswith(f'{path}: ')
  assert str(error.value).endswith(
    'accepted is a whole GGUF file: fetch it again'
  )
  assert peak < 2**20


@pytest.mark.parametrize('share', [0, 0.001, 0.1, 0.5, 0.999])
def test_half_a_file_is_refused(share, key, tmp_path):
  path = write_gguf(Transformer(config(), key), tmp_path / 'x.gguf')
  path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
  with pytest.raises(ValueError, match=r'x\.gguf(: .*whole| is empty)'):
    open_gguf(path)


@pytest.mark.parametrize(
  ('field', 'value', 'told'),
  [
    ('block_count', 10**9, r'block_count = 1000000000: accepted is the number'),
    (
      'attention.head_count',
      0,
      r'num_attention_heads = 0: accepted',
    ),
    (
      'attention.head_count_kv',
      3,
      r'num_key_value_heads = 3: accepted',
    ),
    ('feed_forward_length', 2**30, r'do not fit the config'),
  ],
)
def test_senseless_fields_are_named(field, value, told, key, tmp_path):
  path = write_gguf(Transformer(config(), key), tmp_path / 'x.gguf')
  name = b'llama.' + field.encode() + struct.pack('<I', U32)
  before, after = path.read_bytes().split(name)
  path.write_bytes(before + name + struct.pack('<I', value) + after[4:])
  with pytest.raises(ValueError, match=rf'x\.gguf: .*{told}'):
    open_model(path)


def test_a_token_that_stands_twice_is_named(tmp_path):
  path = write_vocabulary(tmp_path / 'x.gguf', 'qwen2')
  first, second = text(b'!'), text(b'"')
  path.write_bytes(path.read_bytes().replace(second, first, 1))
  with pytest.raises(ValueError, match=r"tokens: '!' occurs at 0 and at 1:"):
    gguf_tokenizer(path)


def test_weights_that_are_not_finite_are_named(tmp_path):
  model = Transformer(config(), jax.random.key(0))
  model.norm[...] = model.norm[...].at[5].set(float('nan'))
  reader = open_gguf(write_gguf(model, tmp_path / 'x.gguf'))
  sizes = from_huggingface(gguf_fields(reader))
  with pytest.raises(ValueError, match=r'x\.gguf: tensor model\.norm\.weight'):
    model_from(sizes, gguf_tensors(reader))
