"""Models that cannot be computed, are not finite, or are two at once."""

import json
import shutil
import tracemalloc
from pathlib import Path

import jax
import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from hybrid_latent.formats.export import new_folder, write_folder, write_json
from hybrid_latent.formats.parsed import read_json
from hybrid_latent.formats.pretrained import Pretrained, open_model, pretrained
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.trees import named_leaves
from tests.experiments.conftest import MODEL
from tests.faults import folders
from tests.faults.folders import (
  INDEX,
  NORM,
  WEIGHTS,
  config,
  refusal,
  sharded,
  weights,
)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  return folders.write_whole(tmp_path_factory.mktemp('models') / 'whole')


@pytest.fixture
def folder(whole, tmp_path):
  """A copy of it to break."""
  return Path(shutil.copytree(whole, tmp_path / 'model'))


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
  if isinstance(value, dict) and name == 'rope_scaling':
    (name,) = {k for k, v in value.items() if LLAMA3[k] is not v}
    # Of two that contradict each other the lower is named.
    name = 'low_freq_factor' if value[name] == 1 else name
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
