"""A Hugging Face folder, read: config.json, safetensors, tokenizer."""

import os
from collections import defaultdict
from pathlib import Path

from hybrid_latent.formats.files import Tensor, reading
from hybrid_latent.formats.fitting import fitted
from hybrid_latent.formats.parsed import file_tensors, read_json
from hybrid_latent.formats.pretrained import FILE, INDEX, OWNED, ModelFiles
from hybrid_latent.formats.tokenizer_files import (
  check_ends,
  check_ids,
  folder_tokenizer,
  with_ends,
)
from hybrid_latent.formats.weights import finite
from hybrid_latent.models.families import from_huggingface


def open_folder(path: Path) -> ModelFiles:
  """All of the model in a folder but its weights, checked."""
  file, more = path / 'config.json', path / 'generation_config.json'
  if not file.exists():
    raise FileNotFoundError(f'{path} has no config.json: is it a model folder?')
  fields, found = read_json(file), folder_tensors(path)
  with reading(file):
    config = from_huggingface(fields)
    # Before transformers reads the config: it makes lists of its layers.
    tensors = fitted(config, found)
    generation = {
      name: ids for name, ids in fields.items() if name.endswith('_token_id')
    }
    check_ends(generation, config.vocab)
  if more.exists():
    generation |= read_json(more)
    with reading(more):
      check_ends(generation, config.vocab)
  tokenizer = folder_tokenizer(path)
  if tokenizer is not None:
    with reading(path / 'tokenizer.json'):
      check_ids(tokenizer, config.vocab)
    tokenizer = with_ends(tokenizer, generation)
  owned = {}
  if (path / OWNED).exists():
    owned = {
      name: finite(tensor.read(), name, tensor.file)
      for name, tensor in file_tensors(path / OWNED).items()
    }
  return ModelFiles(file, config, tensors, tokenizer, generation, owned)


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
