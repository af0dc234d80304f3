"""Named tensors <-> the decoder's parameters, through a family's key table.

A checkpoint is a mapping from Hugging Face's names to tensors that are read
when they are asked for, whatever the file behind it. Ours holds all layers of
a kind in one array, so the host never holds more than one kind at a time.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from hybrid_latent.models.families import family
from hybrid_latent.models.transformer import Transformer, TransformerConfig
from hybrid_latent.trees import map_named, named_leaves

LISTED = 20  # names an error lists of each sort; it counts the others


class Tensor(NamedTuple):
  """One tensor of a checkpoint."""

  shape: tuple[int, ...]
  dtype: str  # as the file calls it, for messages
  read: Callable[[], np.ndarray]


Place = Callable[[str, np.ndarray], jax.Array]


def model_from(
  config: TransformerConfig,
  tensors: Mapping[str, Tensor],
  param_dtype: str = 'float32',
  place: Place | None = None,
) -> Transformer:
  """The model of a checkpoint.

  `place(name, array)` puts one parameter where it belongs; its names are
  those of `trees.named_leaves`, and `array` holds all layers of the kind.
  Raises ValueError that lists the missing, extra and misshapen tensors.
  """
  place = place or (lambda name, array: jnp.array(array))
  abstract = jax.eval_shape(lambda: Transformer(config, jax.random.key(0)))
  tensors = _named_as_released(tensors)
  _check(config, abstract, tensors)

  def parameter(name, leaf):
    sources = [tensors[key] for key in _keys(config, name)]
    array = np.empty(leaf.shape, jnp.dtype(param_dtype))
    rows = array if name.startswith('layers.') else array[None]
    for row, source in zip(rows, sources, strict=True):
      row[...] = source.read()
    return place(name, array)

  return map_named(parameter, abstract)


def tensors_of(model: Transformer) -> dict[str, Tensor]:
  """The parameters as a checkpoint: read one layer at a time."""
  tensors = {}
  for name, leaf in named_leaves(model).items():
    stacked = name.startswith('layers.')
    shape = leaf.shape[1:] if stacked else leaf.shape
    for i, key in enumerate(_keys(model.config, name)):
      read = partial(on_host, leaf, i if stacked else ...)
      tensors[key] = Tensor(shape, str(leaf.dtype), read)
  return tensors


def on_host(array: jax.Array, index: Any = ...) -> np.ndarray:
  """All of array[index], wherever its parts are; every process has to ask."""
  part = array[index]
  if part.is_fully_addressable:
    return np.asarray(part)
  return np.asarray(multihost_utils.process_allgather(part, tiled=True))


def _keys(config: TransformerConfig, name: str) -> list[str]:
  """Hugging Face's names of one of our parameters, layer by layer."""
  keys = family(config.family).KEYS
  if name not in keys:
    raise ValueError(
      f'parameter {name!r} has no place in a {config.family} checkpoint: '
      f'accepted are {sorted(keys)} (merge adapters before the export)'
    )
  layers = config.layers if '{}' in keys[name] else 1
  return [keys[name].format(i) for i in range(layers)]


def _named_as_released(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
  """Without buffers; with 'model.' where the headless class was saved, as for
  Qwen3-Embedding."""
  tensors = {
    name: tensor
    for name, tensor in tensors.items()
    if not name.endswith('.rotary_emb.inv_freq')
  }
  if 'embed_tokens.weight' in tensors:
    return {f'model.{name}': tensor for name, tensor in tensors.items()}
  return tensors


def _check(config, abstract, tensors):
  """Every tensor is there, with its shape, and there is no other."""
  expected = {
    key: leaf.shape[1:] if name.startswith('layers.') else leaf.shape
    for name, leaf in named_leaves(abstract).items()
    for key in _keys(config, name)
  }
  extra = sorted(tensors.keys() - expected.keys())
  if config.tied and 'lm_head.weight' in extra:
    extra.remove('lm_head.weight')
    _check_tied(tensors)
  got = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
  lines = [
    *_listing(
      'missing', [f'{k} {[*s]}' for k, s in expected.items() if k not in got]
    ),
    *_listing('extra', [f'{k} {[*got[k]]}' for k in extra]),
    *_listing(
      'misshapen',
      [
        f'{k}: got {[*got[k]]}, expected {[*s]}'
        for k, s in expected.items()
        if k in got and got[k] != s
      ],
    ),
  ]
  if lines:
    model = f'{config.family}, {config.layers} layers'
    raise ValueError(
      '\n  '.join([f'the tensors do not fit the config ({model}):', *lines])
    )


def _listing(sort: str, entries: list[str]) -> list[str]:
  rest = len(entries) - LISTED
  more = [f'{sort}: and {rest} more'] if rest > 0 else []
  return [f'{sort}: {entry}' for entry in entries[:LISTED]] + more


def _check_tied(tensors: Mapping[str, Tensor]) -> None:
  """A tied file may repeat the embedding as its head, but not contradict it."""
  head, table = tensors['lm_head.weight'], tensors['model.embed_tokens.weight']
  if head.shape != table.shape or not np.array_equal(head.read(), table.read()):
    raise ValueError(
      'config.json: tie_word_embeddings = True, but lm_head.weight differs '
      'from model.embed_tokens.weight: write false to use it'
    )
