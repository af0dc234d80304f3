"""Qwen3 and Qwen3-Embedding: a norm on every query and key head, no bias."""

from collections.abc import Mapping
from functools import partial

from hybrid_latent.models import config as shared
from hybrid_latent.models.transformer import TransformerConfig

KEYS = shared.KEYS | {
  'layers.q_norm': 'model.layers.{}.self_attn.q_norm.weight',
  'layers.k_norm': 'model.layers.{}.self_attn.k_norm.weight',
}


def from_huggingface(fields: Mapping) -> TransformerConfig:
  """Our config for a `config.json`; ValueError for what we do not support."""
  return shared.decoder_config(
    fields, head_dim=128, qk_norm=True, family='qwen3'
  )


def to_huggingface(config: TransformerConfig) -> dict:
  """The `config.json` for our config."""
  return shared.config_fields(config, 'Qwen3ForCausalLM') | {
    'attention_bias': False,
    'use_sliding_window': False,
  }


_qwen3 = partial(
  TransformerConfig,
  family='qwen3',
  qk_norm=True,
  vocab=151936,
  kv_heads=8,
  head_dim=128,
  rope_theta=1_000_000.0,
  max_positions=40960,
)
_0_6b = partial(_qwen3, width=1024, layers=28, heads=16, mlp=3072)
_4b = partial(_qwen3, width=2560, layers=36, heads=32, mlp=9728)
_8b = partial(_qwen3, width=4096, layers=36, heads=32, mlp=12288, tied=False)

SIZES: dict[str, TransformerConfig] = {
  'qwen3-0.6b': _0_6b(),
  'qwen3-1.7b': _qwen3(width=2048, layers=28, heads=16, mlp=6144),
  'qwen3-4b': _4b(),
  'qwen3-8b': _8b(),
  'qwen3-14b': _qwen3(width=5120, layers=40, heads=40, mlp=17408, tied=False),
  'qwen3-32b': _qwen3(width=5120, layers=64, heads=64, mlp=25600, tied=False),
  'qwen3-embedding-0.6b': _0_6b(vocab=151669, max_positions=32768),
  'qwen3-embedding-4b': _4b(vocab=151665, tied=True),
  'qwen3-embedding-8b': _8b(vocab=151665),
}
