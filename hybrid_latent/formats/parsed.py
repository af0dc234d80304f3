"""JSON and safetensors files as others wrote them: whole, or a ValueError."""

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
  """A file's text; ValueError where it is not UTF-8 without a byte order
  mark, which transformers reads neither."""
  with reading(path):
    try:
      text = Path(path).read_bytes().decode('utf-8')
    except UnicodeDecodeError as error:
      raise ValueError(
        f'byte {error.start} is 0x{error.object[error.start]:02x}, which is no '
        'UTF-8: save the file as UTF-8'
      ) from error
    if text.startswith('\ufeff'):
      raise ValueError(
        'it begins with a byte order mark: save it as UTF-8 without one'
      )
    return text


def read_json(path: str | Path) -> dict[str, Any]:
  """A JSON object from a file; ValueError where it is something else."""
  text = read_text(path)
  with reading(path):
    value = parsed_json(text)
    if not isinstance(value, dict):
      raise ValueError(f'accepted is a JSON object, not {value!r:.40}')
    return value


def parsed_json(text: str) -> Any:
  """What a JSON text says. ValueError, with the line and column or the key, for
  one that is none, that has a key twice with two values, or a number that is
  not finite."""
  try:
    return json.loads(text, object_pairs_hook=_object)
  except json.JSONDecodeError as error:
    raise ValueError(
      f'line {error.lineno}, column {error.colno}: {error.msg}: accepted is '
      'JSON'
    ) from error
  except RecursionError as error:
    raise ValueError('accepted is JSON of at most 900 levels') from error


def file_tensors(
  path: str | Path, dtypes: Sequence[str] = FLOATS
) -> dict[str, Tensor]:
  """The tensors of a safetensors file, which is memory mapped: a tensor is read
  when its `read` is called. ValueError for a file that is not whole, for a name
  that stands twice, and for a dtype that is none of `dtypes`."""
  with reading(path, ': accepted is a whole safetensors file: fetch it again'):
    file = safe_open(path, framework='numpy')
    _check_header(Path(path))
  tensors = {}
  for name in file.offset_keys():
    part = file.get_slice(name)
    if part.get_dtype() not in dtypes:
      raise ValueError(
        f'{path}: tensor {name} has dtype {part.get_dtype()}: accepted is one '
        f'of {dtypes} (quantised folders are not read; GGUF files are)'
      )
    tensors[name] = Tensor(
      tuple(part.get_shape()),
      part.get_dtype(),
      partial(file.get_tensor, name),
      str(path),
    )
  return tensors


def _check_header(path: Path) -> None:
  """safetensors reads a header that has a name twice, as one that has it once:
  the last."""
  with path.open('rb') as file:
    size = int.from_bytes(file.read(8), 'little')
    parsed_json(file.read(size).decode())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = {}
  for name, value in pairs:
    if name in found and found[name] != value:
      raise ValueError(
        f'{name!r} stands twice, as {found[name]!r:.60} and as {value!r:.60}: '
        'accepted is one of them'
      )
    if isinstance(value, float) and not math.isfinite(value):
      raise ValueError(f'{name} = {value}: accepted is a finite number')
    found[name] = value
  return found
