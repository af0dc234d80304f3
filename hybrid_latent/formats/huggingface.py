"""A Hugging Face folder: config.json and safetensors, read and written."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import jax
import jax.numpy as jnp
from huggingface_hub import split_state_dict_into_shards_factory
from safetensors.numpy import save_file

from hybrid_latent.formats.files import (
  file_tensors,
  read_json,
  write_json,
)
from hybrid_latent.formats.weights import Tensor, finite, tensors_of
from hybrid_latent.models.families import to_huggingface
from hybrid_latent.models.transformer import Transformer

FILE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'


def folder_tensors(folder: str | Path) -> dict[str, Tensor]:
  """The tensors of a folder, sharded or not: where there is a model.safetensors
  the index means nothing, as in transformers. Files are memory mapped; a tensor
  is read when its `read` is called."""
  folder = Path(folder)
  if os.path.lexists(folder / FILE):
    return file_tensors(folder / FILE)
  if not (folder / INDEX).exists():
    raise _no_weights(folder)
  index = folder / INDEX
  placed, found = _weight_map(index), defaultdict(list)
  for file in sorted(set(placed.values())):
    if not (folder / file).exists():
      raise FileNotFoundError(
        f'{index}: weight_map names {file}, which does not exist: fetch it'
      )
  for file in sorted(set(placed.values())):
    for name, tensor in file_tensors(folder / file).items():
      found[name].append((file, tensor))
  tensors = {}
  for name, holders in found.items():
    files = [file for file, _ in holders]
    if files != [placed.get(name, files[0])]:
      raise ValueError(
        f'{index}: tensor {name} is in {files}, and weight_map says '
        f'{placed.get(name)!r}: accepted is the one file that has it'
      )
    tensors[name] = holders[0][1]
  if lost := sorted(placed.keys() - tensors.keys()):
    more = f' and {len(lost) - 20} more' if len(lost) > 20 else ''
    raise ValueError(
      f'{index}: weight_map names tensors no file has: {lost[:20]}{more}'
    )
  return tensors


def write_model(
  model: Transformer, folder: str | Path, shard_bytes: int = 5 * 10**9
) -> None:
  """Writes config.json and the parameters, in the dtype they have and in
  shards of at most `shard_bytes` (a larger tensor gets one of its own).
  ValueError, with the name, for one that is not finite."""
  folder = Path(folder)
  tensors = tensors_of(model)
  shards = split_state_dict_into_shards_factory(
    tensors,
    get_storage_size=lambda t: prod(t.shape) * jnp.dtype(t.dtype).itemsize,
    filename_pattern='model{suffix}.safetensors',
    max_shard_size=shard_bytes,
  )
  dtype = {'torch_dtype': str(model.table.dtype)}
  write_json(folder / 'config.json', to_huggingface(model.config) | dtype)
  for file, names in shards.filename_to_tensors.items():
    shard = {name: finite(tensors[name].read(), name) for name in names}
    if jax.process_index():
      continue  # read with the others, whose parts are needed
    save_file(shard, folder / file, metadata={'format': 'pt'})
    # safetensors writes for the owner alone; a model folder is shared.
    shutil.copymode(folder / 'config.json', folder / file)
  if shards.is_sharded:
    index = {
      'metadata': shards.metadata,
      'weight_map': shards.tensor_to_filename,
    }
    write_json(folder / INDEX, index)


@contextmanager
def new_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
  """An empty folder that takes the place of `path` once the block is done.
  After an error there is nothing at `path`, or what was there before."""
  path = Path(path).resolve()
  if path.exists() and not overwrite:
    raise FileExistsError(f'{path} exists: write elsewhere, or pass overwrite')
  if path.exists() and not (path / 'config.json').is_file():
    raise FileExistsError(
      f'{path} exists and is no model (it has no config.json): only a folder '
      'that holds a model is overwritten; write elsewhere'
    )
  draft = path.with_name(f'.{path.name}.{os.getpid()}.new')
  draft.mkdir(parents=True)
  try:
    yield draft
    if path.exists():
      old = path.with_name(f'.{path.name}.{os.getpid()}.old')
      path.rename(old)
      draft.rename(path)
      shutil.rmtree(old)
    else:
      draft.rename(path)
  finally:
    shutil.rmtree(draft, ignore_errors=True)


def _weight_map(path: Path) -> dict[str, str]:
  placed = read_json(path).get('weight_map')
  if not isinstance(placed, dict) or not placed:
    raise ValueError(
      f'{path}: weight_map = {placed!r:.80}: accepted is an object with the '
      'file of each tensor'
    )
  for name, file in placed.items():
    if (
      not isinstance(file, str)
      or Path(file).name != file
      or not file.endswith('.safetensors')
    ):
      raise ValueError(
        f'{path}: weight_map names {file!r:.200} for {name}: accepted is the '
        'name of a .safetensors file in the same folder'
      )
  return placed


def _no_weights(folder: Path) -> ValueError:
  return ValueError(
    f'{folder} holds {sorted(p.name for p in folder.iterdir())[:20]}: accepted '
    f'is a folder with {FILE} or {INDEX}. Pickled weights (.bin) run code when '
    'they are read and are refused: load them where you trust them and save '
    'them as safetensors (transformers: save_pretrained)'
  )
