"""A Hugging Face folder: config.json and safetensors, read and written."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from hybrid_latent.formats.weights import Tensor, tensors_of
from hybrid_latent.models.families import to_huggingface
from hybrid_latent.models.transformer import Transformer

FILE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
DTYPES = {
  'F64': 'float64',
  'F32': 'float32',
  'F16': 'float16',
  'BF16': 'bfloat16',
}
SHARD_BYTES = 5 * 10**9


def folder_tensors(folder: str | Path) -> dict[str, Tensor]:
  """The tensors of a folder, sharded or not. Files are memory mapped; a
  tensor is read when its `read` is called."""
  folder = Path(folder)
  if (folder / FILE).is_file():
    return _file_tensors(folder / FILE)
  if not (folder / INDEX).is_file():
    raise _no_weights(folder)
  placed: Mapping[str, str] = read_json(folder / INDEX)['weight_map']
  tensors = {}
  for file in sorted(set(placed.values())):
    if Path(file).name != file or not file.endswith('.safetensors'):
      raise ValueError(
        f'{INDEX}: weight_map names {file!r}: accepted is the name of a '
        '.safetensors file in the same folder'
      )
    tensors |= _file_tensors(folder / file)
  if lost := sorted(placed.keys() - tensors.keys()):
    raise ValueError(f'{INDEX}: weight_map names tensors no file has: {lost}')
  return tensors


def write_model(
  model: Transformer, folder: str | Path, shard_bytes: int = SHARD_BYTES
) -> None:
  """Writes config.json and the parameters in the dtype they have, in shards
  of at most `shard_bytes` (a larger tensor gets one of its own)."""
  folder = Path(folder)
  shards, size = [[]], 0
  for name, tensor in _sizes(model):
    if size and size + tensor > shard_bytes:
      shards.append([])
      size = 0
    shards[-1].append(name)
    size += tensor
  names = [
    FILE if len(shards) == 1 else f'model-{i:05}-of-{len(shards):05}.safetensors'
    for i in range(1, len(shards) + 1)
  ]
  arrays = tensors_of(model)
  for file, shard in zip(names, shards, strict=True):
    part = dict(next(arrays) for _ in shard)
    part = {name: np.asarray(array) for name, array in part.items()}
    save_file(part, folder / file, metadata={'format': 'pt'})
  if len(shards) > 1:
    placed = {n: f for f, shard in zip(names, shards, strict=True) for n in shard}
    total = sum(size for _, size in _sizes(model))
    write_json(
      folder / INDEX,
      {'metadata': {'total_size': total}, 'weight_map': placed},
    )
  dtype = str(model.table.dtype)
  write_json(
    folder / 'config.json', to_huggingface(model.config) | {'dtype': dtype}
  )
