"""Each family against Hugging Face's torch model, tiny, random and offline."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import (
  AutoModelForCausalLM,
  LlamaConfig,
  Qwen2Config,
  Qwen3Config,
)

from hybrid_latent.formats.export import write_model
from hybrid_latent.formats.huggingface import folder_tensors
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.formats.weights import tensors_of
from hybrid_latent.models.transformer import unstack
from hybrid_latent.ops.attention import causal_mask, positions

VOCAB = 131  # more rows than any tokenizer has ids: padding
LLAMA3 = {
  'rope_type': 'llama3',
  'rope_theta': 10_000.0,
  'factor': 8.0,
  'low_freq_factor': 1.0,
  'high_freq_factor': 4.0,
  'original_max_position_embeddings': 128,
}
PLAIN = {'rope_type': 'default', 'rope_theta': 10_000.0}
CASES = {
  'llama-gqa-untied': (LlamaConfig, 2, False, PLAIN, {}),
  'llama-mha-tied-llama3': (LlamaConfig, 4, True, LLAMA3, {}),
  'llama-gqa-untied-llama3': (LlamaConfig, 2, False, LLAMA3, {'head_dim': 16}),
  'qwen2-gqa-tied': (Qwen2Config, 2, True, PLAIN, {}),
  'qwen2-mha-untied': (Qwen2Config, 4, False, PLAIN, {'sliding_window': 8}),
  'qwen3-gqa-tied': (Qwen3Config, 1, True, PLAIN, {'head_dim': 16}),
  'qwen3-mha-untied': (Qwen3Config, 4, False, PLAIN, {'head_dim': 8}),
}


@pytest.fixture(scope='module', params=CASES)
def case(request, tmp_path_factory):
  """A torch model, its folder, and our model read from it."""
  theirs = torch_model(*CASES[request.param])
  folder = tmp_path_factory.mktemp(request.param)
  theirs.save_pretrained(folder)
  return theirs, pretrained(folder).model


def test_logits_of_a_left_padded_batch_equal_torch_on_each_row(case):
  theirs, ours = case
  rows, tokens, mask = left_padded(500, 61, 7)
  actual = logits(ours, tokens, mask)
  for i, row in enumerate(rows):
    with torch.no_grad():
      expected = theirs(torch.from_numpy(row)[None]).logits[0].numpy()
    assert np.abs(expected).max() > 1  # flat logits would agree with anything
    np.testing.assert_allclose(
      actual[i, -len(row) :], expected, rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
  'case', ['llama-gqa-untied-llama3', 'qwen3-gqa-tied'], indirect=True
)
def test_states_of_every_depth_are_those_of_torch(case):
  """And the same whether layers are stacked, apart, or made again."""
  theirs, ours = case
  tokens = np.random.default_rng(0).integers(0, VOCAB, (2, 9))
  at = np.array([[0, 5, 8, 5], [3, 4, 4, 1]])
  with torch.no_grad():
    out = theirs(torch.from_numpy(tokens), output_hidden_states=True)
  index = torch.from_numpy(at)[..., None].expand(-1, -1, 32)
  expected = [x.gather(1, index).numpy() for x in out.hidden_states]
  remade = jax.tree.map(lambda x: x, ours)
  remade.config = dataclasses.replace(ours.config, remat='full')
  for model in (ours, unstack(ours), remade):
    hidden, states = layer_states(model, jnp.asarray(tokens, jnp.int32), at)
    np.testing.assert_allclose(states, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(hidden, out.hidden_states[-1], rtol=0, atol=1e-4)


def test_greedy_tokens_of_a_left_padded_batch_equal_generate(case):
  theirs, ours = case
  rows, tokens, mask = left_padded(9, 3, 7)
  actual = greedy(ours, tokens, mask, 12)
  for i, row in enumerate(rows):
    expected = theirs.generate(
      torch.from_numpy(row)[None],
      attention_mask=torch.ones(1, len(row), dtype=torch.long),
      max_new_tokens=12,
      do_sample=False,
      pad_token_id=0,
      eos_token_id=None,
    )
    np.testing.assert_array_equal(actual[i], expected[0, len(row) :])


def test_export_is_bit_equal_and_loads_in_transformers(case, tmp_path):
  theirs, ours = case
  write_model(ours, tmp_path)
  again = pretrained(tmp_path).model
  assert again.config == ours.config
  jax.tree.map(np.testing.assert_array_equal, again, ours)
  reloaded = AutoModelForCausalLM.from_pretrained(tmp_path)
  assert type(reloaded) is type(theirs)
  expected = theirs.state_dict()
  for name, tensor in reloaded.state_dict().items():
    assert torch.equal(tensor, expected[name]), name
  tokens = torch.arange(20)[None]
  with torch.no_grad():
    assert torch.equal(reloaded(tokens).logits, theirs(tokens).logits)


def test_sharded_export_is_the_same_model(case, tmp_path):
  theirs, ours = case
  write_model(ours, tmp_path, shard_bytes=20_000)
  assert len(list(tmp_path.glob('model-*.safetensors'))) > 2
  read, expected = folder_tensors(tmp_path), tensors_of(ours)
  assert read.keys() == expected.keys()
  for name, tensor in expected.items():
    np.testing.assert_array_equal(read[name].read(), tensor.read())
  jax.tree.map(np.testing.assert_array_equal, pretrained(tmp_path).model, ours)
  reloaded = AutoModelForCausalLM.from_pretrained(tmp_path)
  for name, tensor in theirs.state_dict().items():
    assert torch.equal(tensor, reloaded.state_dict()[name]), name


def torch_model(kind, kv_heads, tied, rope, sizes):
  """Every parameter random: zero biases and unit norms would hide errors."""
  torch.manual_seed(0)
  fields = {
    'vocab_size': VOCAB,
    'hidden_size': 32,
    'intermediate_size': 48,
    'num_hidden_layers': 2,
    'num_attention_heads': 4,
    'num_key_value_heads': kv_heads,
    'max_position_embeddings': 512,
    'rope_parameters': rope,
    'tie_word_embeddings': tied,
    'rms_norm_eps': 1e-5,
  }
  model = AutoModelForCausalLM.from_config(kind(**fields | sizes))
  model.eval()
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      noise = torch.randn_like(parameter)
      scale = 1 + 0.3 * noise if 'norm' in name else 0.25 * noise
      parameter.copy_(scale)
  return model


def left_padded(*lengths):
  """Random rows, and the batch they make."""
  rng, p = np.random.default_rng(0), max(lengths)
  rows = [rng.integers(0, VOCAB, n) for n in lengths]
  tokens = np.stack([np.pad(row, (p - len(row), 0)) for row in rows])
  mask = np.arange(p) >= p - np.array(lengths)[:, None]
  return rows, jnp.asarray(tokens, jnp.int32), jnp.asarray(mask)


@jax.jit
def logits(model, tokens, mask):
  x, _ = model.forward(
    model.embed(tokens), None, positions(mask), causal_mask(mask)
  )
  return model.unembed(x)


@jax.jit
def layer_states(model, tokens, at):
  mask = jnp.ones(tokens.shape, bool)
  x = model.embed(tokens)
  return model.layer_states(x, positions(mask), causal_mask(mask), at)


@partial(jax.jit, static_argnames='steps')
def greedy(model, tokens, mask, steps):
  """Prefill, then one token at a time through the cache."""
  b, p = tokens.shape
  model = unstack(model)
  after = jnp.zeros((b, p, steps), bool)
  x, cache = model.forward(
    model.embed(tokens),
    model.init_cache(b, p + steps),
    positions(mask),
    jnp.concatenate([causal_mask(mask), after], axis=-1),
  )
  slots = jnp.concatenate([mask, after[:, 0]], axis=-1)

  def step(carry, slot):
    token, cache, slots = carry
    slots = slots.at[:, slot].set(True)
    at = slots.sum(-1, keepdims=True) - 1
    x, cache = model.forward(
      model.embed(token[:, None]), cache, at, slots[:, None]
    )
    return (best(model, x), cache, slots), token

  carry = best(model, x), cache, slots
  _, out = jax.lax.scan(step, carry, p + jnp.arange(steps))
  return out.T


def best(model, x):
  return model.unembed(x[:, -1]).argmax(-1)
