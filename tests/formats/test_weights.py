"""What does not fit is listed; what fits is placed one parameter at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hybrid_latent.formats.files import Tensor
from hybrid_latent.formats.fitting import fitted
from hybrid_latent.formats.weights import model_from, tensors_of
from hybrid_latent.models import lora
from hybrid_latent.models.transformer import Transformer, TransformerConfig
from hybrid_latent.trees import named_leaves

CONFIG = TransformerConfig(
  vocab=24,
  width=16,
  layers=3,
  heads=4,
  kv_heads=2,
  head_dim=8,
  mlp=32,
  rope_theta=1e4,
  family='qwen3',
  qk_norm=True,
)


@pytest.fixture
def model(key):
  return Transformer(CONFIG, key)


def test_errors_list_missing_extra_and_misshapen_tensors(model):
  tensors = tensors_of(model)
  tensors.pop('model.layers.1.self_attn.k_norm.weight')
  tensors['score.weight'] = Tensor((2, 16), 'F32', lambda: np.zeros((2, 16)))
  tensors['model.norm.weight'] = Tensor((15,), 'F32', lambda: np.zeros(15))
  with pytest.raises(ValueError) as error:
    fitted(CONFIG, tensors)
  assert str(error.value).splitlines() == [
    'the tensors do not fit the config (qwen3, 3 layers):',
    '  missing: model.layers.1.self_attn.k_norm.weight [8]',
    '  extra: score.weight [2, 16]',
    '  misshapen: model.norm.weight: got [15], expected [16]',
  ]


def test_long_lists_are_counted():
  with pytest.raises(ValueError, match='missing: and 15 more'):
    fitted(CONFIG, {})  # 3 * 11 in the layers, 2 outside, 20 listed


def test_headless_names_and_old_buffers_are_accepted(model):
  tensors = tensors_of(model)
  tensors = {k.removeprefix('model.'): t for k, t in tensors.items()}
  buffer = Tensor((4,), 'F32', lambda: np.zeros(4))
  tensors['layers.0.self_attn.rotary_emb.inv_freq'] = buffer
  read = model_from(CONFIG, fitted(CONFIG, tensors))
  jax.tree.map(np.testing.assert_array_equal, read, model)


def test_a_tied_file_may_repeat_its_head_but_not_contradict_it(model):
  tensors = tensors_of(model)
  table = np.asarray(model.table)
  tensors['lm_head.weight'] = Tensor(table.shape, 'F32', lambda: table)
  fitted(CONFIG, tensors)
  tensors['lm_head.weight'] = Tensor(table.shape, 'F32', lambda: table + 1)
  with pytest.raises(ValueError, match='tie_word_embeddings'):
    fitted(CONFIG, tensors)


def test_each_parameter_goes_straight_to_its_sharding(model):
  mesh = Mesh(np.array(jax.devices()), ('x',))
  sharding = NamedSharding(mesh, PartitionSpec(None, 'x'))
  held = []

  def place(name, array):
    held.append((name, array.dtype))
    if array.ndim < 3:
      return jnp.array(array)
    return jax.device_put(array, sharding)

  placed = model_from(CONFIG, tensors_of(model), 'bfloat16', place)
  assert [name for name, _ in held] == list(named_leaves(model))
  assert {dtype.name for _, dtype in held} == {'bfloat16'}
  assert placed.layers.q.weight.sharding == sharding
  assert placed.layers.q.weight.addressable_shards[0].data.shape == (3, 4, 16)
  np.testing.assert_array_equal(
    placed.layers.q.weight[...], model.layers.q.weight.astype(jnp.bfloat16)
  )


def test_adapters_are_refused_with_advice(model, key):
  adapted = lora.add(model, key, rank=2, alpha=4.0)
  with pytest.raises(ValueError, match=r'lora.*merge'):
    tensors_of(adapted)
