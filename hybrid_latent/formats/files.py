"""Files as others wrote them: whole, or a ValueError that names the file, the
place in it and what to do."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open

FLOATS = ('F64', 'F32', 'F16', 'BF16')
# How files begin that stand where another was expected.
MISTAKEN = {
  b'version https://git-lfs': (
    'is the pointer of git-lfs, not the file: run `git lfs pull` in its folder'
  ),
  b'<!doctype html': 'is a web page: download the file itself',
  b'<html': 'is a web page: download the file itself',
  b'PK\x03\x04': (
    'is a zip file, as torch.save writes: save the model as safetensors '
    '(transformers: save_pretrained)'
  ),
}


class FileError(ValueError):
  """What is wrong with a file; it begins with the file."""


class Tensor(NamedTuple):
  """One tensor of a checkpoint."""

  shape: tuple[int, ...]
  dtype: str  # as the file calls it, for messages
  read: Callable[[], np.ndarray]
  file: str = ''  # that has it, for messages


@contextmanager
def reading(path: str | Path, remedy: str = '') -> Iterator[None]:
  """Whatever goes wrong in the block becomes a FileError, with `remedy` at its
  end, or a FileNotFoundError where there is no such file."""
  try:
    yield
  except FileError:
    raise
  except Exception as error:
    path = Path(path)
    if not path.exists():
      link = ': it is a link to nowhere, fetch it again' * path.is_symlink()
      raise FileNotFoundError(f'{path} does not exist{link}') from error
    if mistaken := _mistaken(path):
      raise FileError(f'{path} {mistaken}') from error
    said = str(error) or type(error).__name__
    if isinstance(error, KeyError):
      said = f'there is no {error}'
    if not isinstance(error, ValueError):  # none of ours, and of any length
      said = f'{" ".join(said.split()):.400}'
    known = 'accepted' in said  # what to write is said already
    raise FileError(f'{path}: {said}{"" if known else remedy}') from error


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


def read_json(path: str | Path) -> dict[str, Any]:
  """A JSON object from a file; ValueError where it is something else."""
  text = read_text(path)
  with reading(path):
    value = parsed_json(text)
    if not isinstance(value, dict):
      raise ValueError(f'accepted is a JSON object, not {value!r:.40}')
    return value


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
  """The object as an indented file, as transformers writes it."""
  text = json.dumps(value, indent=2, ensure_ascii=False) + '\n'
  Path(path).write_text(text, encoding='utf-8')


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


def _mistaken(path: Path) -> str:
  """What a file is that is not what its name says; '' where nobody knows."""
  if path.is_dir():
    return 'is a folder: accepted is a file'
  try:
    with path.open('rb') as file:
      start = file.read(64)
  except OSError as error:
    return f'cannot be read: {error.strerror}'
  if not start:
    return 'is empty: fetch it again'
  kinds = [said for first, said in MISTAKEN.items()
           if start.lower().startswith(first.lower())]  # fmt: skip
  return kinds[0] if kinds else ''
