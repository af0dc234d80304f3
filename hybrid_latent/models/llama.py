"""Llama 3.x, SmolLM2 and R1-Distill-Llama."""

from collections.abc import Mapping
from functools import partial

from hybrid_latent.models import config as shared
from hybrid_latent.models.transformer import TransformerConfig
from hybrid_latent.ops.rope import Llama3Scaling

KEYS = shared.KEYS


def from_huggingface(fields: Mapping) -> TransformerConfig:
  """Our config for a `config.json`; ValueError for what we do not support."""
  return shared.decoder_config(fields, family='llama')


def to_huggingface(config: TransformerConfig) -> dict:
  """The `config.json` for our config."""
  return shared.config_fields(config, 'LlamaForCausalLM') | {
    'attention_bias': False,
    'mlp_bias': False,
  }


_llama3 = partial(
  TransformerConfig,
  family='llama',
  vocab=128256,
  kv_heads=8,
  head_dim=128,
  rope_theta=500_000.0,
  rope_scaling=Llama3Scaling(8.0, 1.0, 4.0, 8192),
  norm_eps=1e-5,
  max_positions=131072,
  tied=False,
)
_llama32 = partial(
  _llama3, mlp=8192, rope_scaling=Llama3Scaling(32.0, 1.0, 4.0, 8192), tied=True
)
_llama3_8b = partial(_llama3, width=4096, layers=32, heads=32, mlp=14336)
_llama3_70b = partial(_llama3, width=8192, layers=80, heads=64, mlp=28672)
_smollm2 = partial(
  TransformerConfig,
  family='llama',
  vocab=49152,
  head_dim=64,
  rope_theta=100_000.0,
  norm_eps=1e-5,
  max_positions=8192,
)

SIZES: dict[str, TransformerConfig] = {
  'llama3-8b': _llama3_8b(rope_scaling=None, max_positions=8192),
  'llama3.1-8b': _llama3_8b(),
  'llama3.1-70b': _llama3_70b(),
  'llama3.2-1b': _llama32(width=2048, layers=16, heads=32, head_dim=64),
  'llama3.2-3b': _llama32(width=3072, layers=28, heads=24),
  'llama3.3-70b': _llama3_70b(),
  'r1-distill-llama-8b': _llama3_8b(),
  'r1-distill-llama-70b': _llama3_70b(),
  'smollm2-135m': _smollm2(width=576, layers=30, heads=9, kv_heads=3, mlp=1536),
  'smollm2-360m': _smollm2(
    width=960, layers=32, heads=15, kv_heads=5, mlp=2560
  ),
  'smollm2-1.7b': _smollm2(
    width=2048,
    layers=24,
    heads=32,
    kv_heads=32,
    mlp=8192,
    rope_theta=130_000.0,
  ),
}
