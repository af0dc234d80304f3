"""The families, each a module with KEYS, SIZES and both config functions."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from hybrid_latent.models import llama, qwen2, qwen3
from hybrid_latent.models.transformer import TransformerConfig

FAMILIES: dict[str, ModuleType] = {
  'llama': llama,
  'qwen2': qwen2,
  'qwen3': qwen3,
}


def from_huggingface(fields: Mapping) -> TransformerConfig:
  """Our config for a `config.json`, whose `model_type` names the family."""
  return family(fields.get('model_type')).from_huggingface(fields)


def to_huggingface(config: TransformerConfig) -> dict:
  """The `config.json` for our config."""
  return family(config.family).to_huggingface(config)


def family(name: Any) -> ModuleType:
  """The module of a family."""
  if not isinstance(name, str) or name not in FAMILIES:
    raise ValueError(
      f'model_type = {name!r:.80}: accepted is one of {sorted(FAMILIES)}'
    )
  return FAMILIES[name]


def size(name: str) -> TransformerConfig:
  """The config of a released size, such as 'qwen2.5-1.5b'."""
  sizes = {
    k: c for module in FAMILIES.values() for k, c in module.SIZES.items()
  }
  if name not in sizes:
    raise ValueError(f'size {name!r}: write one of {sorted(sizes)}')
  return sizes[name]
