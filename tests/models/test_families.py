"""Configs both ways, and what is refused."""

import pytest
from transformers import AutoConfig

from hybrid_latent.models.families import (
  FAMILIES,
  family,
  from_huggingface,
  size,
  to_huggingface,
)

SIZES = [(f, name) for f in FAMILIES for name in family(f).SIZES]


@pytest.mark.parametrize(('model_type', 'name'), SIZES)
def test_every_released_size_survives_the_round_trip(model_type, name):
  config = size(name)
  assert config.family == model_type
  assert from_huggingface(to_huggingface(config)) == config


@pytest.mark.parametrize('name', ['llama3.2-1b', 'qwen2.5-7b', 'qwen3-0.6b'])
def test_transformers_reads_the_config_as_we_do(name):
  """Ours -> config.json -> transformers -> config.json -> ours."""
  config = size(name)
  fields = to_huggingface(config)
  theirs = AutoConfig.for_model(**fields)
  assert from_huggingface(theirs.to_dict()) == config


@pytest.mark.parametrize(
  ('name', 'billions'),
  [
    ('llama3.1-8b', 8.03),
    ('llama3.1-70b', 70.55),
    ('llama3.2-1b', 1.236),
    ('llama3.2-3b', 3.213),
    ('smollm2-135m', 0.1345),
    ('smollm2-360m', 0.3618),
    ('smollm2-1.7b', 1.711),
    ('qwen2.5-0.5b', 0.494),
    ('qwen2.5-1.5b', 1.544),
    ('qwen2.5-3b', 3.086),
    ('qwen2.5-7b', 7.616),
    ('qwen2.5-14b', 14.77),
    ('qwen2.5-32b', 32.76),
    ('qwen2.5-72b', 72.71),
    ('r1-distill-qwen-1.5b', 1.777),
    ('qwen3-0.6b', 0.596),
    ('qwen3-1.7b', 1.721),
    ('qwen3-4b', 4.022),
    ('qwen3-8b', 8.191),
    ('qwen3-14b', 14.77),
    ('qwen3-32b', 32.76),
    ('qwen3-embedding-0.6b', 0.596),
  ],
)
def test_sizes_have_the_published_number_of_parameters(name, billions):
  c = size(name)
  q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
  layer = 2 * c.width * (q + kv) + 3 * c.width * c.mlp + 2 * c.width
  layer += c.qkv_bias * (q + 2 * kv) + c.qk_norm * 2 * c.head_dim
  tables = c.vocab * c.width * (1 if c.tied else 2)
  total = tables + c.layers * layer + c.width
  assert total / 1e9 == pytest.approx(billions, rel=1e-3)


@pytest.mark.parametrize(
  ('name', 'field', 'value', 'accepted'),
  [
    ('qwen2.5-1.5b', 'use_sliding_window', True, 'False'),
    ('qwen2.5-1.5b', 'layer_types', ['sliding_attention'], 'full_attention'),
    ('qwen2.5-1.5b', 'attention_bias', False, 'True'),
    ('qwen3-0.6b', 'attention_bias', True, 'False'),
    ('llama3.1-8b', 'attention_bias', True, 'False'),
    ('llama3.1-8b', 'mlp_bias', True, 'False'),
    ('llama3.1-8b', 'hidden_act', 'gelu', 'silu'),
    ('llama3.1-8b', 'quantization_config', {'bits': 4}, 'None'),
    ('llama3.1-8b', 'num_key_value_heads', 5, 'a divisor of 32'),
    ('llama3.1-8b', 'hidden_size', 4096.5, 'whole number'),
    ('llama3.1-8b', 'num_hidden_layers', None, 'whole number'),
    ('llama3.1-8b', 'model_type', 'mamba', "'llama', 'qwen2', 'qwen3'"),
  ],
)
def test_refusals_name_the_field_its_value_and_what_is_accepted(
  name, field, value, accepted
):
  fields = to_huggingface(size(name)) | {field: value}
  with pytest.raises(ValueError) as error:
    from_huggingface(fields)
  assert field in str(error.value)
  assert accepted in str(error.value)
  if field != 'layer_types':
    assert repr(value) in str(error.value)


@pytest.mark.parametrize('key', ['rope_scaling', 'rope_parameters'])
def test_other_rope_types_are_refused(key):
  fields = to_huggingface(size('qwen2.5-7b'))
  fields[key] = {'rope_type': 'yarn', 'factor': 4.0}
  with pytest.raises(ValueError, match=r"rope_type = 'yarn'.*'llama3'"):
    from_huggingface(fields)


def test_incomplete_llama3_scaling_is_refused():
  fields = to_huggingface(size('llama3.1-8b'))
  fields['rope_scaling'].pop('low_freq_factor')
  with pytest.raises(ValueError, match='low_freq_factor'):
    from_huggingface(fields)


def test_unknown_size_lists_what_exists():
  with pytest.raises(ValueError, match=r'qwen9.*qwen2\.5-1\.5b'):
    size('qwen9')
