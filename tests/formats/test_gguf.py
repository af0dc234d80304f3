"""GGUF files written here, as llama.cpp's converter writes them."""

import gguf
import jax
import numpy as np
import pytest

from hybrid_latent.formats.fitting import fitted
from hybrid_latent.formats.gguf import (
  gguf_fields,
  gguf_generation,
  gguf_tensors,
  open_gguf,
)
from hybrid_latent.formats.weights import model_from, tensors_of
from hybrid_latent.models.families import from_huggingface
from hybrid_latent.models.transformer import Transformer, TransformerConfig
from hybrid_latent.ops.rope import Llama3Scaling, rope_frequencies

Type = gguf.GGMLQuantizationType
SCALING = Llama3Scaling(8.0, 1.0, 4.0, 8192)


def config(**fields):
  sizes = {'vocab': 24, 'width': 64, 'layers': 2, 'heads': 4, 'mlp': 96}
  sizes |= {'kv_heads': 2, 'head_dim': 16, 'rope_theta': 1e4}
  return TransformerConfig(**sizes | fields)


CASES = {
  'llama': config(norm_eps=1e-5),
  'llama3': config(rope_scaling=SCALING, tied=False, rope_theta=5e5),
  'qwen2': config(family='qwen2', qkv_bias=True),
  'qwen3': config(family='qwen3', qk_norm=True, head_dim=32),
}


@pytest.mark.parametrize('name', CASES)
def test_each_architecture_reads_back(name, key, tmp_path):
  model = Transformer(CASES[name], key)
  path = write_gguf(model, tmp_path / 'model.gguf')
  reader = open_gguf(path)
  read = from_huggingface(gguf_fields(reader))
  assert read == model.config
  jax.tree.map(
    np.testing.assert_array_equal,
    model_from(read, gguf_tensors(reader)),
    model,
  )


@pytest.mark.parametrize(
  ('kind', 'error'),  # of weights of standard deviation 0.02
  [
    (Type.F16, 1e-4),
    (Type.BF16, 1e-3),
    (Type.Q8_0, 1e-3),
    (Type.Q4_0, 2e-2),
    (Type.Q4_1, 2e-2),
  ],
)
def test_quantised_weights_are_near_what_was_stored(kind, error, key, tmp_path):
  model = Transformer(config(), key)
  reader = open_gguf(write_gguf(model, tmp_path / 'model.gguf', kind))
  tensors = gguf_tensors(reader)
  for name, tensor in tensors_of(model).items():
    expected, read = tensor.read(), tensors[name].read()
    np.testing.assert_allclose(read, expected, rtol=0, atol=error)
    if expected.ndim == 2:
      assert tensors[name].dtype == kind.name
      assert not np.array_equal(read, expected)


@pytest.mark.parametrize('kind', [Type.Q4_K, Type.Q5_K, Type.Q6_K])
def test_k_quants_are_dequantised(kind, key, tmp_path):
  """One super-block of 256 values a row, with scales that are exact: ours
  must be the formats' arithmetic, written out below."""
  model = Transformer(config(width=256, head_dim=64), key)
  blocks, expected = K_QUANTS[kind](np.random.default_rng(0), rows=24)
  path = write_gguf(
    model, tmp_path / 'model.gguf', table=(blocks.view(np.uint8), kind)
  )
  tensor = gguf_tensors(open_gguf(path))['model.embed_tokens.weight']
  assert tensor.shape == (24, 256)
  np.testing.assert_allclose(tensor.read(), expected, rtol=1e-6)


def test_end_tokens_of_every_kind_are_kept(key, tmp_path):
  path = write_gguf(Transformer(config(), key), tmp_path / 'model.gguf')
  assert gguf_generation(open_gguf(path)) == {
    'bos_token_id': 3,
    'eos_token_id': [5, 7],
  }


def test_yarn_is_refused(key, tmp_path):
  model = Transformer(config(), key)
  path = write_gguf(model, tmp_path / 'model.gguf', rope='yarn')
  with pytest.raises(ValueError, match="rope_type = 'yarn'"):
    from_huggingface(gguf_fields(open_gguf(path)))


def test_unknown_frequency_factors_are_refused(key, tmp_path):
  model = Transformer(config(rope_scaling=SCALING._replace(factor=9.0)), key)
  odd = SCALING._replace(low_freq_factor=2.0)
  path = write_gguf(model, tmp_path / 'model.gguf', scaling=odd)
  with pytest.raises(ValueError, match=r'rope_freqs\.weight'):
    gguf_fields(open_gguf(path))


def test_unknown_tensors_are_listed(key, tmp_path):
  model = Transformer(config(), key)
  path = write_gguf(model, tmp_path / 'model.gguf', extra='blk.0.attn_q.bias')
  reader = open_gguf(path)
  with pytest.raises(ValueError, match=r'extra: .*0\.self_attn\.q_proj\.bias'):
    fitted(model.config, gguf_tensors(reader))


def test_other_files_are_refused(tmp_path):
  (tmp_path / 'x.gguf').write_bytes(b'PK' * 100)
  with pytest.raises(ValueError, match='accepted is a whole GGUF file'):
    open_gguf(tmp_path / 'x.gguf')


def write_gguf(
  model, path, kind=Type.F32, rope=None, scaling=None, table=None, extra=None
):
  """`model` as convert_hf_to_gguf.py stores it."""
  c = model.config
  writer = gguf.GGUFWriter(path, c.family)
  writer.add_embedding_length(c.width)
  writer.add_block_count(c.layers)
  writer.add_head_count(c.heads)
  writer.add_head_count_kv(c.kv_heads)
  writer.add_feed_forward_length(c.mlp)
  writer.add_context_length(c.max_positions)
  writer.add_rope_freq_base(c.rope_theta)
  writer.add_layer_norm_rms_eps(c.norm_eps)
  writer.add_rope_dimension_count(c.head_dim)
  writer.add_bos_token_id(3)
  writer.add_eos_token_id(7)
  writer.add_eot_token_id(5)
  if c.head_dim * c.heads != c.width:
    writer.add_key_length(c.head_dim)
  if rope is not None:
    writer.add_rope_scaling_type(gguf.RopeScalingType(rope))
  if extra is not None:
    writer.add_tensor(extra, np.zeros(8, np.float32))
  scaling = scaling or c.rope_scaling
  if scaling is not None:
    plain = rope_frequencies(c.head_dim, c.rope_theta, None)
    slowed = rope_frequencies(c.head_dim, c.rope_theta, scaling)
    writer.add_tensor('rope_freqs.weight', plain / slowed)
  arch = getattr(gguf.MODEL_ARCH, c.family.upper())
  names = gguf.get_tensor_name_map(arch, c.layers)
  for name, tensor in tensors_of(model).items():
    theirs = names.get_name(name, try_suffixes=('.weight', '.bias'))
    array = tensor.read()
    if c.family == 'llama' and name.endswith('q_proj.weight'):
      array = permuted(array, c.heads)
    if c.family == 'llama' and name.endswith('k_proj.weight'):
      array = permuted(array, c.kv_heads)
    stored = kind if array.ndim == 2 else Type.F32
    array = gguf.quantize(array, stored)
    if table is not None and theirs == 'token_embd.weight':
      array, stored = table
    writer.add_tensor(theirs, array, raw_dtype=stored)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


def permuted(weights, heads):
  """llama.cpp's LlamaModel.permute."""
  return (
    weights.reshape(heads, 2, weights.shape[0] // heads // 2, -1)
    .swapaxes(1, 2)
    .reshape(weights.shape)
  )


def q4_k(rng, rows):
  """min and scale of 6 bits for each 32 values of 4 bits (ggml-quants)."""
  return _q45_k(rng, rows, bits=4)


def q5_k(rng, rows):
  return _q45_k(rng, rows, bits=5)


def _q45_k(rng, rows, bits):
  d, m = np.float16(0.5), np.float16(0.25)
  scale, low = rng.integers(0, 64, (2, rows, 8))
  q = rng.integers(0, 2**bits, (rows, 8, 32))
  packed = np.zeros((rows, 12), np.uint8)
  packed[:, :4] = scale[:, :4] | (scale[:, 4:] >> 4) << 6
  packed[:, 4:8] = low[:, :4] | (low[:, 4:] >> 4) << 6
  packed[:, 8:] = scale[:, 4:] & 15 | (low[:, 4:] & 15) << 4
  pairs = (q & 15).reshape(rows, 4, 2, 32)
  nibbles = pairs[:, :, 0] | pairs[:, :, 1] << 4
  high = (q >> 4 << np.arange(8)[:, None]).sum(1)
  halves = np.tile(np.array([d, m]).view(np.uint8), (rows, 1))
  parts = [halves, packed, *([high] if bits == 5 else [])]
  parts.append(nibbles.reshape(rows, 128))
  values = 0.5 * scale[..., None] * q - 0.25 * low[..., None]
  return np.concatenate(parts, axis=1).astype(np.uint8), values.reshape(
    rows, -1
  )


def q6_k(rng, rows):
  """A scale of 8 bits for each 16 values of 6 bits, which are offset by 32."""
  scale = rng.integers(-128, 128, (rows, 16))
  q = rng.integers(0, 64, (rows, 2, 4, 32))
  low = (q & 15)[:, :, :2] | (q & 15)[:, :, 2:] << 4
  high = (q >> 4 << np.arange(0, 8, 2)[:, None]).sum(2)
  half = np.tile(np.array([np.float16(0.5)]).view(np.uint8), (rows, 1))
  parts = [low.reshape(rows, 128), high.reshape(rows, 64), scale, half]
  values = 0.5 * scale[..., None] * (q.reshape(rows, 16, 16) - 32)
  blocks = np.concatenate([p.astype(np.uint8) for p in parts], axis=1)
  return blocks, values.reshape(rows, 256)


K_QUANTS = {Type.Q4_K: q4_k, Type.Q5_K: q5_k, Type.Q6_K: q6_k}
