"""Parses JSON and safetensors files; ValueError for malformed ones."""

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import safe_open

from hybrid_latent.formats.files import Tensor, reading

FLOATS = ('F64', 'F32', 'F16', 'BF16')


def read_text(path: str | Path) -> str:
  """A file's text. ValueError for other encodings than UTF-8 and for a byte
  order mark, neither of which transformers reads."""
  with reading(path):
    try:
      text = Path(path).read_bytes().decode('utf-8')
    except UnicodeDecodeError as error:
      raise ValueError(
        f'byte {error.start} is 0x{error.object[error.start]:02x}, which is '
        'not UTF-8: save the file as UTF-8'
      ) from error
    if text.startswith('\ufeff'):
      raise ValueError(
        'it begins with a byte order mark: save it as UTF-8 without one'
      )
    return text


def read_json(path: str | Path) -> dict[str, Any]:
  """A JSON object from a file. ValueError for anything else."""
  text = read_text(path)
  with reading(path):
    value = parsed_json(text)
    if not isinstance(value, dict):
      raise ValueError(f'accepted is a JSON object, not {value!r:.40}')
    return value


def parsed_json(text: str) -> Any:
  """The value of a JSON text. ValueError, with line and column or the key, for
  malformed text, for a key with two values, and for a number that is not
  finite."""
  try:
    return json.loads(text, object_pairs_hook=_object)
  except json.JSONDecodeError as error:
    raise ValueError(
      f'line {error.lineno}, column {error.colno}: {error.msg}: accepted is '
      'JSON'
    ) from error
  except RecursionError as error:  # nested deeper than Python's stack
    raise ValueError('accepted is JSON of at most 900 levels') from error


def file_tensors(
  path: str | Path, dtypes: Sequence[str] = FLOATS
) -> dict[str, Tensor]:
  """The tensors of a safetensors file, which is memory mapped: a tensor is read
  when its `read` is called. ValueError for a truncated file, for a name that
  occurs twice, and for a dtype that is not in `dtypes`."""
  with reading(path, ': accepted is a whole safetensors file: fetch it again'):
    file = safe_open(path, framework='numpy')
    _check_header(Path(path))
  tensors = {}
  for name in file.offset_keys():
    tensor = file.get_slice(name)
    if tensor.get_dtype() not in dtypes:
      raise ValueError(
        f'{path}: tensor {name} has dtype {tensor.get_dtype()}: accepted is '
        f'one of {dtypes} (for a quantised model, write a GGUF file)'
      )
    tensors[name] = Tensor(
      tuple(tensor.get_shape()),
      tensor.get_dtype(),
      partial(file.get_tensor, name),
      str(path),
    )
  return tensors


def _check_header(path: Path) -> None:
  """ValueError for a name that occurs twice: safetensors keeps the last one."""
  # The format: 8 bytes of length, a JSON header, then the data.
  with path.open('rb') as file:
    size = int.from_bytes(file.read(8), 'little')
    parsed_json(file.read(size).decode())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  fields = {}
  for name, value in pairs:
    if name in fields and fields[name] != value:
      raise ValueError(
        f'{name!r} occurs twice, as {fields[name]!r:.60} and as {value!r:.60}: '
        'accepted is one of them'
      )
    if isinstance(value, float) and not math.isfinite(value):
      raise ValueError(f'{name} = {value}: accepted is a finite number')
    fields[name] = value
  return fields
