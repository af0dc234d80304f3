"""Named tensors <-> the decoder's parameters, through a family's key table.

A checkpoint is a mapping from Hugging Face's names to tensors that are read
when they are asked for, whatever the file behind it. Ours holds all layers of
a kind in one array, so the host never holds more than one kind at a time.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from hybrid_latent.formats.files import FileError, Tensor
from hybrid_latent.models.families import family
from hybrid_latent.models.transformer import Transformer, TransformerConfig
from hybrid_latent.trees import map_named, named_leaves

TABLE = 'model.embed_tokens.weight'
LISTED = 20  # names an error lists of each sort; it counts the others


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
  Raises ValueError that lists the missing, extra and misshapen tensors, before
  any is read; and for one that is not finite in `param_dtype`.
  """
  place = place or (lambda name, array: jnp.array(array))
  abstract, tensors = fitted(config, tensors)

  def parameter(name, leaf):
    keys = _keys(config, name)
    array = np.empty(leaf.shape, jnp.dtype(param_dtype))
    rows = array if name.startswith('layers.') else array[None]
    for row, key in zip(rows, keys, strict=True):
      with np.errstate(all='ignore'):  # what overflows is refused, by its name
        row[...] = tensors[key].read()
      finite(row, key, tensors[key].file)
    return place(name, array)

  return map_named(parameter, abstract)


def fitted(
  config: TransformerConfig, tensors: Mapping[str, Tensor]
) -> tuple[Transformer, dict[str, Tensor]]:
  """The shapes of the model, and the tensors under the names of a release.
  ValueError that lists the missing, extra and misshapen ones; none is read."""
  abstract = jax.eval_shape(lambda: Transformer(config, jax.random.key(0)))
  tensors = _named_as_released(tensors)
  _check(config, abstract, tensors)
  return abstract, tensors


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


def finite(array: np.ndarray, name: str, file: str = '') -> np.ndarray:
  """The array. ValueError, with the name of the tensor, where it holds values
  that are not finite."""
  # NumPy is twice as fast with a copy in float32 as with bfloat16.
  if np.isfinite(array.astype(np.float32, copy=False)).all():
    return array
  wrong = np.count_nonzero(~np.isfinite(array))
  raise (FileError if file else ValueError)(
    f'{file and f"{file}: "}tensor {name} has {wrong} of {array.size} values '
    f'that are not finite in {array.dtype}: accepted are finite weights'
  )


def unlike(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
  """Which arrays have not the shape that is expected of their name, or are
  expected and not there, or there and not expected; at most LISTED of them."""
  shape = lambda arrays, name: arrays[name].shape if name in arrays else None
  return [
    f'{name}: {shape(found, name)}, expected {shape(expected, name)}'
    for name in sorted({**expected, **found})
    if shape(found, name) != shape(expected, name)
  ][:LISTED]


def on_host(array: jax.Array | np.ndarray, index: Any = ...) -> np.ndarray:
  """All of array[index], wherever its parts are; every process has to ask."""
  part = array[index]
  if isinstance(part, np.ndarray) or part.is_fully_addressable:
    return np.asarray(part)
  return np.asarray(multihost_utils.process_allgather(part, tiled=True))


def _keys(config: TransformerConfig, name: str) -> list[str]:
  """Hugging Face's names of one of our parameters, layer by layer."""
  key = _key(config, name)
  return [key.format(i) for i in range(config.layers if '{}' in key else 1)]


def _key(config: TransformerConfig, name: str) -> str:
  """Hugging Face's name, with {} for the number of the layer."""
  keys = family(config.family).KEYS
  if name not in keys:
    raise ValueError(
      f'parameter {name!r} has no place in a {config.family} checkpoint: '
      f'accepted are {sorted(keys)} (merge adapters before the export)'
    )
  return keys[name]


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
  """Every tensor is there, with its shape, and there is no other. No list is as
  long as a config claims, only as long as there are tensors."""
  expected = {}  # Hugging Face's name with {} -> how many, and their shape
  for name, leaf in named_leaves(abstract).items():
    stacked = name.startswith('layers.')
    shape = leaf.shape[1:] if stacked else leaf.shape
    count = config.layers if stacked else 1
    expected[_key(config, name)] = count, shape
  known = {}
  for key in tensors:
    number = re.search(r'\.(\d{1,10})\.', key)
    kind = key.replace(number[0], '.{}.', 1) if number else key
    i = int(number[1]) if number else 0
    count, shape = expected.get(kind, (0, ()))
    if i < count and kind.format(i) == key:
      known[key] = shape
  extra = sorted(tensors.keys() - known.keys())
  if config.tied and 'lm_head.weight' in extra:
    extra.remove('lm_head.weight')
    _check_tied(tensors)
  missing = (
    f'{name} {[*shape]}'
    for kind, (count, shape) in expected.items()
    for name in map(kind.format, range(count))
    if name not in known
  )
  absent = sum(count for count, _ in expected.values()) - len(known)
  got = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
  wrong = [
    f'{k}: got {[*got[k]]}, expected {[*shape]}'
    for k, shape in known.items()
    if got[k] != shape
  ]
  lines = [
    *_listing('missing', missing, absent),
    *_listing('extra', (f'{k} {[*got[k]]}' for k in extra), len(extra)),
    *_listing('misshapen', iter(wrong), len(wrong)),
  ]
  if 'lm_head.weight' in expected and 'lm_head.weight' not in got:
    lines.append(
      'tie_word_embeddings = False: true if the embedding is the head'
    )
  if lines:
    model = f'{config.family}, {config.layers} layers'
    raise ValueError(
      '\n  '.join([f'the tensors do not fit the config ({model}):', *lines])
    )


def _listing(sort: str, entries: Iterator[str], count: int) -> list[str]:
  rest = count - LISTED
  more = [f'{sort}: and {rest} more'] if rest > 0 else []
  return [f'{sort}: {entry}' for entry in islice(entries, LISTED)] + more


def _check_tied(tensors: Mapping[str, Tensor]) -> None:
  """A tied file may repeat the embedding as its head, but not contradict it."""
  head, table = tensors['lm_head.weight'], tensors.get(TABLE)
  if table is None:
    return  # which is said
  if head.shape != table.shape or not np.array_equal(head.read(), table.read()):
    raise ValueError(
      'tie_word_embeddings = True, but lm_head.weight differs '
      'from model.embed_tokens.weight: write false to use it'
    )
