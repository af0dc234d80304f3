"""Writes a Hugging Face folder atomically."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import huggingface_hub as hub
import jax
import jax.numpy as jnp
from safetensors.numpy import save_file

from hybrid_latent.formats.pretrained import INDEX, OWNED, Pretrained
from hybrid_latent.formats.weights import finite, on_host, tensors_of
from hybrid_latent.models.families import to_huggingface
from hybrid_latent.models.transformer import Transformer


def write_folder(ported: Pretrained, folder: Path) -> None:
  """Writes parameters, configs, tokenizer and chat template."""
  write_model(ported.model, folder)
  if ported.feedback_params:
    params = {
      n: finite(on_host(x), n) for n, x in ported.feedback_params.items()
    }
    save_file(params, folder / OWNED)
    shutil.copymode(folder / 'config.json', folder / OWNED)  # as write_model
  if ported.generation:
    write_json(folder / 'generation_config.json', ported.generation)
  if ported.tokenizer is not None:
    ported.tokenizer.save_pretrained(folder)


def write_model(
  model: Transformer, folder: str | Path, shard_bytes: int = 5 * 10**9
) -> None:
  """Writes config.json and the parameters, in their dtype and in shards of at
  most `shard_bytes` (a larger tensor is one shard). ValueError, with its name,
  for a tensor that is not finite."""
  folder = Path(folder)
  tensors = tensors_of(model)
  shards = hub.split_state_dict_into_shards_factory(
    tensors,
    get_storage_size=lambda t: prod(t.shape) * jnp.dtype(t.dtype).itemsize,
    filename_pattern='model{suffix}.safetensors',
    max_shard_size=shard_bytes,
  )
  dtype = {'torch_dtype': str(model.table.dtype)}
  write_json(folder / 'config.json', to_huggingface(model.config) | dtype)
  for file, names in shards.filename_to_tensors.items():
    # One shard at a time: the host never holds the whole model.
    shard = {name: finite(tensors[name].read(), name) for name in names}
    if jax.process_index():
      continue  # its reads gathered the shards of this process
    save_file(shard, folder / file, metadata={'format': 'pt'})
    # safetensors creates files that only the owner can read.
    shutil.copymode(folder / 'config.json', folder / file)
  if shards.is_sharded:
    index = {
      'metadata': shards.metadata,
      'weight_map': shards.tensor_to_filename,
    }
    write_json(folder / INDEX, index)


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
  """Writes the object as indented JSON, in the layout of transformers."""
  text = json.dumps(value, indent=2, ensure_ascii=False) + '\n'
  Path(path).write_text(text, encoding='utf-8')


@contextmanager
def new_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
  """An empty folder that replaces `path` when the block ends without an error.
  After an error `path` is unchanged."""
  path = Path(path).resolve()
  if path.exists() and not overwrite:
    raise FileExistsError(f'{path} exists: write elsewhere, or pass overwrite')
  if path.exists() and not (path / 'config.json').is_file():
    raise FileExistsError(
      f'{path} exists and is no model (it has no config.json): only a model '
      'folder is overwritten: write elsewhere'
    )
  # Next to `path`: a rename is atomic only within one file system.
  draft = path.with_name(f'.{path.name}.{os.getpid()}.new')
  draft.mkdir(parents=True)
  try:
    yield draft
    if path.exists():
      # A directory cannot be renamed onto one that is not empty.
      old = path.with_name(f'.{path.name}.{os.getpid()}.old')
      path.rename(old)
      draft.rename(path)
      shutil.rmtree(old)
    else:
      draft.rename(path)
  finally:
    shutil.rmtree(draft, ignore_errors=True)
