"""A released model without its weights: shapes, and a byte-level tokenizer."""

import dataclasses
import re
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh
from jaxtyping import Array, Key
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hybrid_latent import sharding
from hybrid_latent.formats.files import reading
from hybrid_latent.formats.parsed import read_json
from hybrid_latent.formats.pretrained import Pretrained
from hybrid_latent.formats.reasoner import new_prefix, read_fields
from hybrid_latent.models.families import from_huggingface, size
from hybrid_latent.models.param_axes import param_axes
from hybrid_latent.models.reasoner import Prefix
from hybrid_latent.models.transformer import (
  Transformer,
  TransformerConfig,
)
from hybrid_latent.types import PyTree

from ..fields.model import check_attention
from ..training.cli import Config

READER = 'prefix:reasoner'
_CHAT = (
  "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
  '{% if add_generation_prompt %}<|assistant|>{% endif %}'
)
_END = '<|end|>'


def abstract_model(model: Config, mesh: Mesh) -> Pretrained:
  """`config.model` as `pretrained` loads it, without files or network: the
  parameters are shapes, the tokenizer encodes bytes and has the new tokens of
  the config."""
  check_attention(model.attention, mesh.devices.flat[0].platform)
  config = _executed_as(model, model_config(model.source))
  shapes = jax.eval_shape(partial(Transformer, config), jax.random.key(0))
  return Pretrained(
    shape_structs(
      shapes, sharding.shardings(shapes, param_axes, mesh), model.param_dtype
    ),
    _tokenizer([token.partition('=')[0] for token in model.new_tokens]),
    {},
  )


def without_reasoner_files(config: Config) -> Config:
  """The config with `prefix` instead of the function that reads a reasoner."""
  config = config.copy_and_resolve_references()
  feedback = config.get('feedback', {})
  if feedback.get('init') == READER:
    feedback.init = f'{__name__}:prefix'
  return config


def prefix(
  key: Key[Array, ''],
  policy: Any,
  tokenizer: Any,
  *,
  source: str = '',
  backbone: str = '',
  **new: Any,
) -> Prefix:
  """Like `feedback.prefix.reasoner`, with a backbone of which only the sizes
  are known; where `source` does not exist yet, a new reasoner."""
  folder = Path(source).expanduser()
  if source and (folder / 'config.json').is_file():
    found, fields = read_fields(folder)
    new |= {name: fields[name] for name in ('latents', 'reads')}
  else:
    found = model_config(backbone)
  found = _executed_as(policy.model.config, found)
  return new_prefix(key, policy, tokenizer, Transformer(found, key), **new)


def _executed_as(model, config: TransformerConfig) -> TransformerConfig:
  """`config`, computed as `model` is."""
  names = 'dtype', 'remat', 'attention'
  return dataclasses.replace(config, **{x: getattr(model, x) for x in names})


def shape_structs(tree: PyTree, where: PyTree, dtype: str) -> PyTree:
  """The shapes of `tree`, in `dtype`, with their shardings."""
  shape = lambda x, place: jax.ShapeDtypeStruct(x.shape, dtype, sharding=place)
  return jax.tree.map(shape, tree, where)


def model_config(source: str) -> TransformerConfig:
  """The config of a folder with a config.json, or of a released model by its
  name on the hub ('Qwen/Qwen2.5-7B-Instruct') or in `models.families`
  ('qwen2.5-7b')."""
  file = Path(source).expanduser() / 'config.json'
  if file.is_file():
    with reading(file):
      return from_huggingface(read_json(file))
  name = source.rpartition('/')[2].lower()
  name = re.sub(r'^(deepseek|meta)-(?=r1|llama)', '', name)
  name = re.sub(r'^llama-3', 'llama3', name)
  return size(re.sub(r'-(instruct|base)$', '', name))


def _tokenizer(new_tokens: list[str]) -> PreTrainedTokenizerFast:
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
  bytes_only = Tokenizer(
    models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[])
  )
  bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  bytes_only.decoder = decoders.ByteLevel()
  bytes_only.add_special_tokens([_END])
  bytes_only.add_tokens(
    [AddedToken(text, special=False, normalized=False) for text in new_tokens]
  )
  return PreTrainedTokenizerFast(
    tokenizer_object=bytes_only,
    eos_token=_END,
    pad_token=_END,
    chat_template=_CHAT,
    clean_up_tokenization_spaces=False,
  )
