"""Reads a Hugging Face folder: config.json, safetensors, tokenizer."""

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
  """The model without its weights, checked."""
  file, generation_file = path / 'config.json', path / 'generation_config.json'
  if not file.exists():
    raise FileNotFoundError(
      f'{path} has no config.json: write the path of a model folder'
    )
  fields, stored = read_json(file), folder_tensors(path)
  with reading(file):
    config = from_huggingface(fields)
    # Before transformers reads the config: it allocates a list per layer, so a
    # corrupt number of layers would exhaust the memory.
    tensors = fitted(config, stored)
    generation = {
      name: ids for name, ids in fields.items() if name.endswith('_token_id')
    }
    check_ends(generation, config.vocab)
  if generation_file.exists():
    generation |= read_json(generation_file)
    with reading(generation_file):
      check_ends(generation, config.vocab)
  tokenizer = folder_tokenizer(path)
  if tokenizer is not None:
    with reading(path / 'tokenizer.json'):
      check_ids(tokenizer, config.vocab)
    tokenizer = with_ends(tokenizer, generation)
  feedback_params = {}
  if (path / OWNED).exists():
    feedback_params = {
      name: finite(tensor.read(), name, tensor.file)
      for name, tensor in file_tensors(path / OWNED).items()
    }
  return ModelFiles(
    file, config, tensors, tokenizer, generation, feedback_params
  )


def folder_tensors(folder: str | Path) -> dict[str, Tensor]:
  """The tensors of a folder, sharded or not. The index is ignored where there
  is a model.safetensors, as in transformers. Files are memory mapped; a tensor
  is read when its `read` is called."""
  folder = Path(folder)
  # lexists: a dangling link (a hub cache that was cleared) is an error, too.
  if os.path.lexists(folder / FILE):
    return file_tensors(folder / FILE)
  if not (folder / INDEX).exists():
    raise _no_weights(folder)
  index = folder / INDEX
  weight_map, stored = _weight_map(index), defaultdict(list)
  files = sorted(set(weight_map.values()))
  for file in files:
    if not (folder / file).exists():
      raise FileNotFoundError(
        f'{index}: weight_map names {file}, which does not exist: fetch it'
      )
  for file in files:
    for name, tensor in file_tensors(folder / file).items():
      stored[name].append((file, tensor))
  tensors = {}
  for name, copies in stored.items():
    holders = [file for file, _ in copies]
    # A name in two files, or in another than the index names, is ambiguous.
    if holders != [weight_map.get(name, holders[0])]:
      raise ValueError(
        f'{index}: tensor {name} is in {holders}, and weight_map has '
        f'{weight_map.get(name)!r}: accepted is the one file that has it'
      )
    tensors[name] = copies[0][1]
  if missing := sorted(weight_map.keys() - tensors.keys()):
    more = f' and {len(missing) - 20} more' if len(missing) > 20 else ''
    raise ValueError(
      f'{index}: weight_map names tensors no file has: {missing[:20]}{more}'
    )
  return tensors


def _weight_map(path: Path) -> dict[str, str]:
  weight_map = read_json(path).get('weight_map')
  if not isinstance(weight_map, dict) or not weight_map:
    raise ValueError(
      f'{path}: weight_map = {weight_map!r:.80}: accepted is an object with '
      'the file of each tensor'
    )
  # A path with a folder could read any file of the machine.
  for name, file in weight_map.items():
    if (
      not isinstance(file, str)
      or Path(file).name != file
      or not file.endswith('.safetensors')
    ):
      raise ValueError(
        f'{path}: weight_map names {file!r:.200} for {name}: accepted is the '
        'name of a .safetensors file in the same folder'
      )
  return weight_map


def _no_weights(folder: Path) -> ValueError:
  return ValueError(
    f'{folder} holds {sorted(p.name for p in folder.iterdir())[:20]}: accepted '
    f'is a folder with {FILE} or {INDEX}. Pickled weights (.bin) run code when '
    'they are read and are refused: load them where you trust them and save '
    'them as safetensors (transformers: save_pretrained)'
  )
