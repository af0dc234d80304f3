"""The families by `model_type`, each a module with KEYS, SIZES and both config
functions, imported when a model of it is loaded or exported."""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from hybrid_latent.models.transformer import TransformerConfig

FAMILIES = {
  'llama': 'hybrid_latent.models.llama',
  'qwen2': 'hybrid_latent.models.qwen2',
  'qwen3': 'hybrid_latent.models.qwen3',
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
  return import_module(FAMILIES[name])


def size(name: str) -> TransformerConfig:
  """The config of a released size, such as 'qwen2.5-1.5b'."""
  sizes = {}
  for model_type in FAMILIES:
    sizes |= family(model_type).SIZES
  if name not in sizes:
    raise ValueError(f'size {name!r}: write one of {sorted(sizes)}')
  return sizes[name]
