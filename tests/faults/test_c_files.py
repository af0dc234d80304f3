"""Files that are broken, of another kind, or of no model that can be computed:
what is said, in one sentence, before the weights are read."""

import json
import re
import shutil
import tracemalloc
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hybrid_latent.data import arithmetic
from hybrid_latent.formats.files import read_json, write_json
from hybrid_latent.formats.huggingface import new_folder
from hybrid_latent.formats.pretrained import (
  Pretrained,
  fits,
  local_path,
  open_model,
  pretrained,
  write_folder,
)
from hybrid_latent.formats.tokenizer import chat_ids, pad_id, stop_ids
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.trees import named_leaves
from tests.experiments.conftest import MODEL

LFS = b'version https://git-lfs.github.com/spec/v1\noid sha256:4\nsize 9\n'
WEIGHTS = 'model.safetensors'
INDEX = f'{WEIGHTS}.index.json'
NORM = 'model.norm.weight'


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A model, its tokenizer, ids that end, and what a feedback owns."""
  folder = tmp_path_factory.mktemp('models') / 'whole'
  folder.mkdir()
  model = Transformer(MODEL, jax.random.key(0))
  owned = {'w_r': np.ones((2, 3), np.float32)}
  ends = {'eos_token_id': [1, 20]}
  write_folder(Pretrained(model, arithmetic.tokenizer(), ends, owned), folder)
  return folder


@pytest.fixture
def folder(whole, tmp_path):
  """A copy of it to break."""
  return Path(shutil.copytree(whole, tmp_path / 'model'))


def refusal(folder) -> str:
  with pytest.raises((ValueError, FileNotFoundError)) as error:
    pretrained(folder)
  assert str(error.value).startswith(str(folder)), error.value
  text = str(error.value).replace(str(folder), 'MODEL')
  assert len(text) < 3000
  return text


def edited(name, edit):
  """A change of one JSON file: by a function, or by fields to write."""

  def change(folder):
    fields = read_json(folder / name)
    fields = edit(fields) or fields if callable(edit) else fields | edit
    (folder / name).write_text(json.dumps(fields))

  return change


def config(**fields):
  return edited('config.json', fields)


def data(name, content):
  return lambda folder: (folder / name).write_bytes(content)


def cut(name, share):
  def change(folder):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])

  return change


def as_folder(name):
  def change(folder):
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()

  return change


def weights(edit, name=WEIGHTS):
  def change(folder):
    arrays = load_file(folder / name)
    edit(arrays)
    save_file(arrays, folder / name)

  return change


def header(edit, name=WEIGHTS):
  """A change of the header's text."""

  def change(folder):
    content = (folder / name).read_bytes()
    size = int.from_bytes(content[:8], 'little')
    text = edit(content[8 : 8 + size])
    body = content[8 + size :]
    (folder / name).write_bytes(len(text).to_bytes(8, 'little') + text + body)

  return change


def twice(text):
  """The first tensor of the header again, as one of another shape."""
  fields = json.loads(text)
  name = next(x for x in fields if x != '__metadata__')
  count = int(np.prod(fields[name]['shape']))
  again = json.dumps({name: fields[name] | {'shape': [count]}})
  return text.rstrip()[:-1] + b',' + again.encode()[1:]


def sharded(placed=None, more=None):
  """Two files and an index, which `placed` changes; `more` is in both."""

  def change(folder):
    arrays = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    files = {'a.safetensors': {}, 'b.safetensors': {}}
    for i, (name, array) in enumerate(sorted(arrays.items())):
      files[[*files][i % 2]][name] = array
    index = {name: file for file, part in files.items() for name in part}
    if more:
      files['a.safetensors'][more] = files['b.safetensors'][more] = arrays[more]
    for file, part in files.items():
      save_file(part, folder / file)
    write_json(folder / INDEX, {'weight_map': index | (placed or {})})

  return change


def nan(name):
  def edit(arrays):
    arrays[name].reshape(-1)[1] = np.nan

  return edit


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
  'safetensors, a folder': (
    as_folder(WEIGHTS),
    r'MODEL/model\.safetensors is a folder: accepted is a file',
  ),
  'safetensors, a name twice': (
    header(twice),
    r"MODEL/model\.safetensors: '.*' stands twice",
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
    r"embed_tokens\.weight is in \['a\.saf.*'\], and weight_map says 'b\.saf",
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
    r'MODEL/config\.json: byte 7 is 0xff, which is no UTF-8',
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
    r"MODEL/config\.json: 'vocab_size' stands twice, as 8 and as 9",
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
    r'MODEL/tokenizer\.json: the tokens .* have both the id 30: accepted',
  ),
  'tokenizer, one token with two ids': (
    lambda f: (f / 'tokenizer.json').write_text(
      (f / 'tokenizer.json').read_text().replace('"!":', '"!": 9, "!":', 1)
    ),
    r"MODEL/tokenizer\.json: '!' stands twice, as 9 and as \d+",
  ),
  'tokenizer, an added token with the id of another': (
    edited(
      'tokenizer.json',
      lambda x: x['added_tokens'].append(
        x['added_tokens'][0] | {'id': 9, 'content': '<new>'}
      ),
    ),
    r"tokenizer\.json: token '<new>' has the id 9, and transformers makes that",
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
  'special_tokens_map, a list': (
    data('special_tokens_map.json', b'[]'),
    r'MODEL/special_tokens_map\.json: accepted is a JSON object',
  ),
  'chat_template, no UTF-8': (
    data('chat_template.jinja', b'{{ "\xfe" }}'),
    r'MODEL/chat_template\.jinja: byte 4 is 0xfe, which is no UTF-8',
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


NUMBER = 'accepted is a number'
WHOLE = 'accepted is a whole number from 1'
LLAMA3 = {
  'rope_type': 'llama3',
  'factor': 8.0,
  'low_freq_factor': 1.0,
  'high_freq_factor': 4.0,
  'original_max_position_embeddings': 64,
}
SENSELESS = [
  *({'rope_theta': x} for x in (-1.0, 0, None, '10000', True, 10**400)),
  *({'rms_norm_eps': x} for x in (0, -1e-6, 1, None, '1e-6', True, [1e-6])),
  *({'hidden_size': x} for x in (0, -32, 32.0, '32', True, None, 2**31)),
  *({'num_hidden_layers': x} for x in (0, 2.0, False, [2])),
  *({'num_attention_heads': x} for x in (0, None, 4.5)),
  {'num_key_value_heads': 3},
  *({'head_dim': x} for x in (7, 0, 8.0)),
  {'intermediate_size': -1},
  {'vocab_size': {}},
  {'max_position_embeddings': 'long'},
  *({'tie_word_embeddings': x} for x in (1, 'true', None)),
  *({'model_type': x} for x in (None, [], 5, 'gpt2')),
  {'attention_bias': 0},
  {'hidden_act': None},
  *({'layer_types': x} for x in ('full_attention', [['x']], {'a': 1})),
  {'eos_token_id': 384},
  *({'rope_scaling': x} for x in ('llama3', 5, ['llama3'])),
  *({'rope_scaling': LLAMA3 | x} for x in (
    {'factor': 0}, {'factor': -8}, {'factor': '8'}, {'factor': None},
    {'low_freq_factor': 0}, {'low_freq_factor': 4.0}, {'high_freq_factor': 1},
    {'low_freq_factor': 9.0}, {'high_freq_factor': False},
    {'original_max_position_embeddings': 8192.5},
    {'original_max_position_embeddings': 0},
  )),
]  # fmt: skip


@pytest.mark.parametrize('fields', SENSELESS, ids=str)
def test_a_senseless_config(fields, folder, now):
  config(**fields)(folder)
  text = refusal(folder)
  now('senseless models', str(fields)[:80], text)
  ((name, value),) = fields.items()
  if isinstance(value, dict) and value:
    changed = {k: v for k, v in value.items() if LLAMA3.get(k) != v}
    name = next(iter(changed))
    # Either of two that contradict each other is named.
    name = (
      'low_freq_factor' if name == 'high_freq_factor' and value[name] else name
    )
  assert text.startswith(f'MODEL/config.json: {name} = '), text
  assert 'accepted is' in text


@pytest.mark.parametrize('literal', ['NaN', 'Infinity', '-Infinity', '1e999'])
@pytest.mark.parametrize('name', ['rms_norm_eps', 'rope_theta', 'another'])
def test_numbers_that_are_not_finite(name, literal, folder, now):
  text = json.dumps(read_json(folder / 'config.json') | {name: 0})
  text = text.replace(f'"{name}": 0', f'"{name}": {literal}')
  (folder / 'config.json').write_text(text)
  said = refusal(folder)
  now('senseless models', f'{name}: {literal}', said)
  value = float(literal)
  assert (
    said == f'MODEL/config.json: {name} = {value}: accepted is a finite number'
  )


@pytest.mark.parametrize('ids', [384, -1, True, 1.0, '1', [1, 384], [None], {}])
@pytest.mark.parametrize('name', ['eos_token_id', 'pad_token_id'])
def test_ids_that_no_token_has(name, ids, folder, now):
  write_json(folder / 'generation_config.json', {name: ids})
  text = refusal(folder)
  now('senseless models', f'generation_config: {name} = {ids}', text)
  assert text.startswith(f'MODEL/generation_config.json: {name} = {ids!r}: ')
  assert 'vocab_size = 384' in text


@pytest.mark.parametrize(
  'fields',
  [
    {'num_hidden_layers': 10**9},
    {'vocab_size': 2**31 - 1},
    {'hidden_size': 2**30, 'head_dim': 2**30, 'intermediate_size': 2**30},
    {'num_attention_heads': 2**30, 'num_hidden_layers': 2**30},
  ],
  ids=str,
)
def test_sizes_are_compared_with_the_files_first(fields, folder, now):
  open_model(folder)  # what it brings along the first time
  config(**fields)(folder)
  tracemalloc.start()
  text = refusal(folder)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  now('absurd sizes', fields, f'{text:.200} ({peak / 2**20:.0f} MiB)')
  assert text.startswith('MODEL/config.json: the tensors do not fit the config')
  assert peak < 64 * 2**20


def test_the_file_without_shards_counts_as_in_transformers(folder, now):
  """A model.safetensors beside an index, which then means nothing."""
  from transformers import AutoModelForCausalLM

  write_json(folder / INDEX, {'weight_map': {NORM: 'absent.safetensors'}})
  ours = pretrained(folder).model.norm[...]
  theirs = AutoModelForCausalLM.from_pretrained(folder).model.norm.weight
  np.testing.assert_array_equal(ours, theirs.detach().numpy())
  now('a tensor given twice', f'{WEIGHTS} beside an index', f'{WEIGHTS} counts')


def test_shards_that_fit_are_read(folder):
  before = named_leaves(pretrained(folder).model)
  sharded()(folder)
  after = named_leaves(pretrained(folder).model)
  for name, array in before.items():
    np.testing.assert_array_equal(array, after[name])


@pytest.mark.parametrize('name', ['nobody/no-such-model', 'no_such_preset'])
def test_a_model_that_there_is_not(name, monkeypatch, now):
  monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
  with pytest.raises(FileNotFoundError) as error:
    local_path(name)
  now('unknown model', name, error.value)
  assert name in str(error.value)
  assert 'folder' in str(error.value)
  assert '\n' not in str(error.value)


def test_what_the_generation_config_ends_and_pads(folder, now):
  """Where the tokenizer says neither."""
  drop = lambda x: [x.pop(name, None) for name in ('eos_token', 'pad_token')]
  edited('tokenizer_config.json', lambda x: drop(x) and x)(folder)
  write_json(
    folder / 'generation_config.json',
    {'eos_token_id': [7, 1], 'pad_token_id': 3},
  )
  files = open_model(folder)
  assert stop_ids(files.tokenizer, files.generation) == [1, 7]
  assert (files.tokenizer.eos_token_id, pad_id(files.tokenizer)) == (7, 3)
  now('no pad and no eos', 'both in generation_config.json', 'taken from there')
  write_json(folder / 'generation_config.json', {})
  with pytest.raises(ValueError) as error:
    pad_id(open_model(folder).tokenizer)
  now('no pad and no eos', 'nowhere', error.value)
  assert str(error.value).startswith(
    f'{folder} has no pad_token and no eos_tok'
  )
  assert 'generation_config.json' in str(error.value)


@pytest.mark.parametrize(
  ('template', 'told'),
  [
    (None, r"there is none: write config\.data\.template='\{question\}'"),
    ('{% for %}', r'line 1: .*write config\.data\.template'),
    (
      "{% if messages[0]['role'] == 'system' %}"
      "{{ raise_exception('System role not supported') }}{% endif %}",
      r"\['system', 'user'\]: System role not supported: write config\.data\.sys",
    ),
    ('{{ messages + 1 }}', r'cannot render the roles .*config\.data\.template'),
    ('{{ messages.__class__.__mro__ }}', r'cannot render .* is unsafe'),
    ('{% for i in range(9999999999) %}{% endfor %}', r'cannot render .*'),
  ],
)
def test_chat_templates(template, told, folder, now):
  if template is None:
    (folder / 'chat_template.jinja').unlink()
  else:
    (folder / 'chat_template.jinja').write_text(template)
  tokenizer = open_model(folder).tokenizer
  with pytest.raises(ValueError, match=told) as error:
    chat_ids(tokenizer, 'Add.', 'Hi?')
  now('chat templates', template, error.value)
  assert str(error.value).startswith(f'{folder}: chat template')
  assert len(str(error.value)) < 500


@pytest.mark.parametrize(
  ('owned', 'told'),
  [
    ({}, None),
    ({'w_r': (2, 3)}, True),
    ({'other': (2, 3)}, False),
    ({'w_r': (3, 3)}, r'w_r: \(2, 3\), expected \(3, 3\)'),
    ({'w_r': (2, 3), 'w_i': (2,)}, r'w_i: None, expected \(2,\)'),
  ],
)
def test_what_a_feedback_owns(owned, told, folder, caplog, now):
  source = pretrained(folder)
  arrays = {name: np.zeros(shape) for name, shape in owned.items()}
  if isinstance(told, str):
    with pytest.raises(ValueError, match=told) as error:
      fits(source, arrays)
    now('feedback.safetensors', owned, error.value)
    assert 'config.feedback' in str(error.value)
    return
  assert fits(source, arrays) is bool(told)
  now('feedback.safetensors', owned, caplog.text or 'read')
  assert (
    "left aside: config.feedback owns none of ['w_r']" in caplog.text
  ) is (not told)


def test_what_is_not_finite_is_not_written(tmp_path, now):
  model = Transformer(MODEL, jax.random.key(0))
  model.norm[...] = model.norm[...].at[3].set(np.inf)
  with (
    pytest.raises(ValueError) as error,
    new_folder(tmp_path / 'out') as draft,
  ):
    write_folder(Pretrained(model, None, {}), draft)
  now('non-finite exports', 'norm[3] = inf', error.value)
  assert str(error.value).startswith(
    f'tensor {NORM} has 1 of 32 values that are'
  )
  assert list(tmp_path.iterdir()) == []


def test_what_float16_cannot_hold_is_refused(folder, now):
  weights(lambda x: x[NORM].__setitem__(5, 1e6))(folder)
  pretrained(folder)
  with pytest.raises(ValueError) as error:
    pretrained(folder, param_dtype='float16')
  now('weights that are not finite', '1e6 as float16', error.value)
  assert str(error.value).endswith(
    f'{NORM} has 1 of 32 values that are not finite in float16: accepted are '
    'finite weights'
  )
