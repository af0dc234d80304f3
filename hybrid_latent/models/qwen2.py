"""Qwen2, Qwen2.5 and R1-Distill-Qwen: queries, keys and values have a bias."""

from collections.abc import Mapping
from functools import partial

from hybrid_latent.models import config as shared
from hybrid_latent.models.transformer import TransformerConfig

KEYS = shared.KEYS | {
  'layers.q.bias': 'model.layers.{}.self_attn.q_proj.bias',
  'layers.k.bias': 'model.layers.{}.self_attn.k_proj.bias',
  'layers.v.bias': 'model.layers.{}.self_attn.v_proj.bias',
}

# The family always has q, k, v biases and none in o_proj; some files state it.
_ACCEPTED = shared.ACCEPTED | {'attention_bias': True}


def from_huggingface(fields: Mapping) -> TransformerConfig:
  """Our config for a `config.json`; ValueError for what we do not support."""
  return shared.decoder_config(
    fields, accepted=_ACCEPTED, qkv_bias=True, family='qwen2'
  )


def to_huggingface(config: TransformerConfig) -> dict:
  """The `config.json` for our config."""
  return shared.config_fields(config, 'Qwen2ForCausalLM') | {
    'use_sliding_window': False
  }


_qwen2 = partial(
  TransformerConfig,
  family='qwen2',
  qkv_bias=True,
  vocab=151936,
  head_dim=128,
  rope_theta=1_000_000.0,
)
# From 7B on the embedding has more padding rows, and the head is untied.
_large = partial(_qwen2, vocab=152064, tied=False)
_1_5b = partial(_qwen2, width=1536, layers=28, heads=12, kv_heads=2, mlp=8960)
_7b = partial(_large, width=3584, layers=28, heads=28, kv_heads=4, mlp=18944)
_14b = partial(_large, width=5120, layers=48, heads=40, kv_heads=8, mlp=13824)
_32b = partial(_large, width=5120, layers=64, heads=40, kv_heads=8, mlp=27648)
_distill = {'max_positions': 131072, 'tied': False}

# Qwen2.5: the instruction-tuned releases. The base models of 14B and more have
# norm_eps 1e-5, as have the distilled models made from them.
SIZES: dict[str, TransformerConfig] = {
  'qwen2.5-0.5b': _qwen2(
    width=896, layers=24, heads=14, kv_heads=2, head_dim=64, mlp=4864
  ),
  'qwen2.5-1.5b': _1_5b(),
  'qwen2.5-3b': _qwen2(width=2048, layers=36, heads=16, kv_heads=2, mlp=11008),
  'qwen2.5-7b': _7b(),
  'qwen2.5-14b': _14b(),
  'qwen2.5-32b': _32b(),
  'qwen2.5-72b': _large(width=8192, layers=80, heads=64, kv_heads=8, mlp=29568),
  'r1-distill-qwen-1.5b': _1_5b(rope_theta=10_000.0, **_distill),
  'r1-distill-qwen-7b': _7b(rope_theta=10_000.0, **_distill),
  'r1-distill-qwen-14b': _14b(norm_eps=1e-5, **_distill),
  'r1-distill-qwen-32b': _32b(norm_eps=1e-5, **_distill),
}
