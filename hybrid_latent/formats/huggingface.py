"""A Hugging Face folder: config.json and safetensors, read and written."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from huggingface_hub import split_state_dict_into_shards_factory
from safetensors import safe_open
from safetensors.numpy import save_file

from hybrid_latent.formats.weights import Tensor, tensors_of
from hybrid_latent.models.families import to_huggingface
from hybrid_latent.models.transformer import Transformer

FILE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
DTYPES = ('F64', 'F32', 'F16', 'BF16')


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
  model: Transformer, folder: str | Path, shard_bytes: int = 5 * 10**9
) -> None:
  """Writes config.json and the parameters, in the dtype they have and in
  shards of at most `shard_bytes` (a larger tensor gets one of its own)."""
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
    shard = {name: tensors[name].read() for name in names}
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


def read_json(path: str | Path) -> dict[str, Any]:
  """A JSON object from a file; ValueError where it is something else."""
  value = json.loads(Path(path).read_text(encoding='utf-8'))
  if not isinstance(value, dict):
    raise ValueError(f'{path}: accepted is a JSON object, not {value!r:.40}')
  return value


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
  """The object as an indented file, as transformers writes it."""
  text = json.dumps(value, indent=2, ensure_ascii=False) + '\n'
  Path(path).write_text(text, encoding='utf-8')


def _file_tensors(path: Path) -> dict[str, Tensor]:
  file = safe_open(path, framework='numpy')
  tensors = {}
  for name in file.offset_keys():
    part = file.get_slice(name)
    if part.get_dtype() not in DTYPES:
      raise ValueError(
        f'{path}: tensor {name} has dtype {part.get_dtype()}: accepted is one '
        f'of {DTYPES} (quantised folders are not read; GGUF files are)'
      )
    read = partial(file.get_tensor, name)
    tensors[name] = Tensor(tuple(part.get_shape()), part.get_dtype(), read)
  return tensors


def _no_weights(folder: Path) -> ValueError:
  return ValueError(
    f'{folder} holds {sorted(p.name for p in folder.iterdir())[:20]}: accepted '
    f'is a folder with {FILE} or {INDEX}. Pickled weights (.bin) run code when '
    'they are read and are refused: load them where you trust them and save '
    'them as safetensors (transformers: save_pretrained)'
  )
