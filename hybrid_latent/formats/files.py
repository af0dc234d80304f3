"""Files as others wrote them: whole, or a ValueError that names the file, the
place in it and what to do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

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
