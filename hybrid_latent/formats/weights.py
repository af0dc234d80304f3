"""Named tensors <-> the decoder's parameters, by the table of a family.

A checkpoint is a mapping from Hugging Face's names to lazily read tensors, of
any file format. A parameter of ours holds all layers of one kind, and the host
never holds more than one such parameter at a time.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from hybrid_latent.formats.files import FileError, Tensor
from hybrid_latent.models.families import family
from hybrid_latent.models.transformer import Transformer, TransformerConfig
from hybrid_latent.trees import map_named, named_leaves

LISTED = 20  # names per list in an error; the others are counted


Place = Callable[[str, np.ndarray], jax.Array]


def model_from(
  config: TransformerConfig,
  tensors: Mapping[str, Tensor],
  param_dtype: str = 'float32',
  place: Place | None = None,
) -> Transformer:
  """The model of a checkpoint.

  `place(name, array)` moves one parameter to its devices; names are those of
  `trees.named_leaves`, and `array` holds all layers of the kind. `tensors` are
  those of `fitting.fitted`. ValueError for values that are not finite in
  `param_dtype`.
  """
  place = place or (lambda name, array: jnp.array(array))

  def parameter(name, leaf):
    keys = _keys(config, name)
    # Filled row by row: at most one layer is in memory twice.
    array = np.empty(leaf.shape, jnp.dtype(param_dtype))
    rows = array if name.startswith('layers.') else array[None]
    for row, key in zip(rows, keys, strict=True):
      with np.errstate(all='ignore'):  # `finite` reports an overflow
        row[...] = tensors[key].read()
      finite(row, key, tensors[key].file)
    return place(name, array)

  return map_named(parameter, shapes(config))


def shapes(config: TransformerConfig) -> Transformer:
  """The abstract model: shapes and dtypes."""
  return jax.eval_shape(lambda: Transformer(config, jax.random.key(0)))


def tensors_of(model: Transformer) -> dict[str, Tensor]:
  """The parameters as a checkpoint, read one layer at a time."""
  tensors = {}
  for name, leaf in named_leaves(model).items():
    stacked = name.startswith('layers.')
    shape = leaf.shape[1:] if stacked else leaf.shape
    for i, key in enumerate(_keys(model.config, name)):
      read = partial(on_host, leaf, i if stacked else ...)
      tensors[key] = Tensor(shape, str(leaf.dtype), read)
  return tensors


def finite(array: np.ndarray, name: str, file: str = '') -> np.ndarray:
  """The array. ValueError, with the name of the tensor, for values that are not
  finite."""
  # NumPy is twice as fast with a copy in float32 as with bfloat16.
  if np.isfinite(array.astype(np.float32, copy=False)).all():
    return array
  wrong = np.count_nonzero(~np.isfinite(array))
  raise (FileError if file else ValueError)(
    f'{file and f"{file}: "}tensor {name} has {wrong} of {array.size} values '
    f'that are not finite in {array.dtype}: accepted are finite weights'
  )


def unlike(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
  """The arrays whose shape differs from the expected one, and those that are
  missing or extra; at most LISTED."""
  shape = lambda arrays, name: arrays[name].shape if name in arrays else None
  return [
    f'{name}: {shape(found, name)}, expected {shape(expected, name)}'
    for name in sorted({**expected, **found})
    if shape(found, name) != shape(expected, name)
  ][:LISTED]


def on_host(array: jax.Array | np.ndarray, index: Any = ...) -> np.ndarray:
  """array[index], gathered from all hosts: every process has to call it."""
  local = array[index]
  if isinstance(local, np.ndarray) or local.is_fully_addressable:
    return np.asarray(local)
  return np.asarray(multihost_utils.process_allgather(local, tiled=True))


def _keys(config: TransformerConfig, name: str) -> list[str]:
  """Hugging Face's names of a parameter, one per layer."""
  key = tensor_name(config, name)
  return [key.format(i) for i in range(config.layers if '{}' in key else 1)]


def tensor_name(config: TransformerConfig, name: str) -> str:
  """Hugging Face's name, with {} for the index of the layer."""
  keys = family(config.family).KEYS
  if name not in keys:
    raise ValueError(
      f'parameter {name!r} has no name in a {config.family} checkpoint: '
      f'accepted are {sorted(keys)} (merge adapters before the export)'
    )
  return keys[name]
