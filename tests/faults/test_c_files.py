"""Files that are broken or of another kind: what is said, in one sentence,
before the weights are read."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from hybrid_latent.formats.pretrained import local_path
from tests.faults import folders
from tests.faults.folders import (
  INDEX,
  LFS,
  NORM,
  WEIGHTS,
  as_folder,
  cut,
  data,
  edited,
  header,
  nan,
  refusal,
  sharded,
  twice,
  weights,
)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  return folders.write_whole(tmp_path_factory.mktemp('models') / 'whole')


@pytest.fixture
def folder(whole, tmp_path):
  """A copy of it to break."""
  return Path(shutil.copytree(whole, tmp_path / 'model'))


BROKEN = {
  'safetensors, cut': (
    cut(WEIGHTS, 0.9),
    r'model\.safetensors: .*not fully covered: .*fetch it again',
  ),
  'safetensors, cut in the header': (
    cut(WEIGHTS, 0.001),
    r'model\.safetensors: .*header.*fetch it again',
  ),
  'safetensors, a git-lfs pointer': (
    data(WEIGHTS, LFS),
    r'MODEL/model\.safetensors is the pointer of git-lfs.*`git lfs pull`',
  ),
  'safetensors, zero bytes': (
    data(WEIGHTS, b''),
    r'MODEL/model\.safetensors is empty: fetch it again',
  ),
  'safetensors, a web page': (
    data(WEIGHTS, b'<!DOCTYPE html><html>'),
    r'MODEL/model\.safetensors is a web page: download the file itself',
  ),
  'safetensors, a torch file': (
    data(WEIGHTS, b'PK\x03\x04archive'),
    r'MODEL/model\.safetensors is a zip file, .*save_pretrained',
  ),
  'safetensors, a link to nowhere': (
    lambda f: ((f / WEIGHTS).unlink(), (f / WEIGHTS).symlink_to('blob')),
    r'model\.safetensors does not exist: it is a dangling link, fetch it',
  ),
  'safetensors, a folder': (
    as_folder(WEIGHTS),
    r'MODEL/model\.safetensors is a folder: accepted is a file',
  ),
  'safetensors, a name twice': (
    header(twice),
    r"MODEL/model\.safetensors: '.*' occurs twice",
  ),
  'safetensors, past the end': (
    header(lambda text: re.sub(rb'\[\d+,(\d+)\]', rb'[0,9\1]', text, count=1)),
    r'model\.safetensors: .*offset.*accepted is a whole safetensors file',
  ),
  'safetensors, no such dtype': (
    header(lambda text: text.replace(b'"F32"', b'"Q32"', 1)),
    r'model\.safetensors: .*Q32',
  ),
  'safetensors, integers': (
    weights(lambda x: x.update({NORM: np.ones(32, np.int8)})),
    rf'model\.safetensors: tensor {NORM} has dtype I8: accepted is one of',
  ),
  'weights, not finite': (
    weights(nan(NORM)),
    rf'model\.safetensors: tensor {NORM} has 1 of 32 values that are not fin',
  ),
  'weights, missing': (
    weights(lambda x: x.pop(NORM)),
    rf'MODEL/config\.json: the tensors do not fit .*\n  missing: {NORM} \[32\]',
  ),
  'index, garbled': (
    lambda f: (sharded()(f), (f / INDEX).write_text('{"weight_map": {'))[0],
    r'index\.json: line 1, column 17: .*accepted is JSON',
  ),
  'index, no weight_map': (
    lambda f: (sharded()(f), (f / INDEX).write_text('{}'))[0],
    r'index\.json: weight_map = None: accepted is an object',
  ),
  'index, a list': (
    lambda f: (sharded()(f), (f / INDEX).write_text('{"weight_map": [1]}'))[0],
    r'index\.json: weight_map = \[1\]: accepted is an object',
  ),
  'index, a file that there is not': (
    sharded({NORM: 'c.safetensors'}),
    r'index\.json: weight_map names c\.safetensors, which does not exist',
  ),
  'index, another folder': (
    sharded({NORM: '../b.safetensors'}),
    rf"index\.json: weight_map names '\.\./b\.safetensors' for {NORM}: accepte",
  ),
  'index, no text': (
    sharded({NORM: 7}),
    rf'index\.json: weight_map names 7 for {NORM}: accepted is the name',
  ),
  'index, the wrong shard': (
    sharded({'model.embed_tokens.weight': 'b.safetensors'}),
    r"embed_tokens\.weight is in \['a\.saf.*'\], and weight_map has 'b\.saf",
  ),
  'index, a tensor in two shards': (
    sharded(more=NORM),
    rf"tensor {NORM} is in \['a\.safetensors', 'b\.safetensors'\], and weigh",
  ),
  'config, garbled': (
    data('config.json', b'{"model_type": "qwen3",}'),
    r'MODEL/config\.json: line 1, column 24: .*accepted is JSON',
  ),
  'config, empty': (
    data('config.json', b''),
    r'MODEL/config\.json is empty: fetch it again',
  ),
  'config, a git-lfs pointer': (
    data('config.json', LFS),
    r'MODEL/config\.json is the pointer of git-lfs',
  ),
  'config, a list': (
    data('config.json', b'[]'),
    r'MODEL/config\.json: accepted is a JSON object, not \[\]',
  ),
  'config, no UTF-8': (
    data('config.json', b'{"a": "\xff"}'),
    r'MODEL/config\.json: byte 7 is 0xff, which is not UTF-8',
  ),
  'config, a byte order mark': (
    data('config.json', b'\xef\xbb\xbf{}'),
    r'MODEL/config\.json: it begins with a byte order mark',
  ),
  'config, deep': (
    data('config.json', b'{"a":' + b'[' * 100_000),
    r'MODEL/config\.json: accepted is JSON of at most 900 levels',
  ),
  'config, digits without end': (
    data('config.json', b'{"a":' + b'9' * 5000 + b'}'),
    r'MODEL/config\.json: .*limit',
  ),
  'config, a field twice': (
    data('config.json', b'{"vocab_size": 8, "vocab_size": 9}'),
    r"MODEL/config\.json: 'vocab_size' occurs twice, as 8 and as 9",
  ),
  'config, a kind of layer too many': (
    edited('config.json', {'layer_types': ['full_attention'] * 3}),
    r"MODEL/config\.json: layer_types = \['full.*: accepted is one for each",
  ),
  'config, rotations of each kind of layer': (
    edited(
      'config.json',
      {'rope_parameters': {'full_attention': {'rope_theta': 1e6}}},
    ),
    r"MODEL/config\.json: rope_scaling = \{'full_attention': .*accepted is an",
  ),
  'config, a folder': (
    as_folder('config.json'),
    r'MODEL/config\.json is a folder: accepted is a file',
  ),
  'tokenizer, garbled': (
    cut('tokenizer.json', 0.5),
    r'MODEL/tokenizer\.json: line \d+, column \d+: .*accepted is JSON',
  ),
  'tokenizer, a git-lfs pointer': (
    data('tokenizer.json', LFS),
    r'MODEL/tokenizer\.json is the pointer of git-lfs',
  ),
  'tokenizer, nothing in it': (
    data('tokenizer.json', b'{}'),
    r'MODEL/tokenizer\.json: .*accepted is a tokenizer that transformers reads',
  ),
  'tokenizer, model of another type': (
    edited('tokenizer.json', {'model': 'bpe'}),
    r'MODEL/tokenizer\.json: .*accepted is a tokenizer that transformers reads',
  ),
  'tokenizer, two tokens with one id': (
    edited('tokenizer.json', lambda x: x['model']['vocab'].update(zz=30)),
    r'MODEL/tokenizer\.json: the tokens .* both have the id 30: accepted',
  ),
  'tokenizer, one token with two ids': (
    lambda f: (f / 'tokenizer.json').write_text(
      (f / 'tokenizer.json').read_text().replace('"!":', '"!": 9, "!":', 1)
    ),
    r"MODEL/tokenizer\.json: '!' occurs twice, as 9 and as \d+",
  ),
  'tokenizer, an added token with the id of another': (
    edited(
      'tokenizer.json',
      lambda x: x['added_tokens'].append(
        x['added_tokens'][0] | {'id': 9, 'content': '<new>'}
      ),
    ),
    r"tokenizer\.json: token '<new>' has the id 9, and after loading",
  ),
  'tokenizer, an id past the embedding': (
    edited('tokenizer.json', lambda x: x['model']['vocab'].update(zz=384)),
    r"tokenizer\.json: token 'zz' has the id 384, and the model vocab_size = 3",
  ),
  'tokenizer_config, garbled': (
    data('tokenizer_config.json', b'{'),
    r'MODEL/tokenizer_config\.json: line 1, column 2',
  ),
  'tokenizer_config, a number for a token': (
    edited('tokenizer_config.json', {'eos_token': 5}),
    r'MODEL/tokenizer\.json: .*eos_token',
  ),
  'tokenizer_config, an end of text that there is not': (
    edited('tokenizer_config.json', {'eos_token': '<|nope|>'}),
    r"tokenizer_config\.json: eos_token = '<\|nope\|>': accepted is a token of",
  ),
  'tokenizer_config, a length that is a text': (
    edited('tokenizer_config.json', {'model_max_length': 'x'}),
    r"tokenizer_config\.json: model_max_length = 'x': accepted is a number",
  ),
  'tokenizer_config, an added token without its text': (
    edited('tokenizer_config.json', {'added_tokens_decoder': {'0': {}}}),
    r'tokenizer_config\.json: added_tokens_decoder: 0 = \{\}: accepted is an',
  ),
  'added_tokens, another id': (
    data('added_tokens.json', b'{"<zz>": 380}'),
    r"MODEL/added_tokens\.json: token '<zz>' has the id 380, and after",
  ),
  'special_tokens_map, an end of text that there is not': (
    data('special_tokens_map.json', b'{"eos_token": {"content": "<|nope|>"}}'),
    r"special_tokens_map\.json: eos_token = '<\|nope\|>': accepted is a token",
  ),
  'special_tokens_map, a list': (
    data('special_tokens_map.json', b'[]'),
    r'MODEL/special_tokens_map\.json: accepted is a JSON object',
  ),
  'chat_template, no UTF-8': (
    data('chat_template.jinja', b'{{ "\xfe" }}'),
    r'MODEL/chat_template\.jinja: byte 4 is 0xfe, which is not UTF-8',
  ),
  'generation_config, garbled': (
    data('generation_config.json', b'nope'),
    r'MODEL/generation_config\.json: line 1, column 1',
  ),
  'feedback, cut': (
    cut('feedback.safetensors', 0.9),
    r'MODEL/feedback\.safetensors: .*fetch it again',
  ),
  'feedback, not finite': (
    weights(nan('w_r'), 'feedback.safetensors'),
    r'MODEL/feedback\.safetensors: tensor w_r has 1 of 6 values',
  ),
}


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_file(name, folder, now):
  change, told = BROKEN[name]
  change(folder)
  text = refusal(folder)
  now('library errors pass through', name, text)
  assert re.search(told, text, re.S), text


@pytest.mark.parametrize('name', ['nobody/no-such-model', 'no_such_preset'])
def test_a_model_that_there_is_not(name, monkeypatch, now):
  monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
  with pytest.raises(FileNotFoundError) as error:
    local_path(name)
  now('unknown model', name, error.value)
  assert name in str(error.value)
  assert 'folder' in str(error.value)
  assert '\n' not in str(error.value)
