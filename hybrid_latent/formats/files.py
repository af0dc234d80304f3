"""Errors of reading files: each names the file, the position and the remedy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

# First bytes of files that are mistaken for another -> what to do.
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
  """A malformed file; the message begins with its path."""


class Tensor(NamedTuple):
  """One tensor of a checkpoint."""

  shape: tuple[int, ...]
  dtype: str  # its name in the file, for messages
  read: Callable[[], np.ndarray]
  file: str = ''  # its file, for messages


@contextmanager
def reading(path: str | Path, remedy: str = '') -> Iterator[None]:
  """Errors in the block become FileError, with `remedy` at the end of the
  message, or FileNotFoundError for a missing file."""
  try:
    yield
  except FileError:
    raise
  except Exception as error:
    path = Path(path)
    if not path.exists():
      link = ': it is a dangling link, fetch it again' * path.is_symlink()
      raise FileNotFoundError(f'{path} does not exist{link}') from error
    # A library's message about a wrong format does not name the right one.
    if mistaken := _mistaken(path):
      raise FileError(f'{path} {mistaken}') from error
    message = str(error) or type(error).__name__
    if isinstance(error, KeyError):
      message = f'there is no {error}'
    if not isinstance(error, ValueError):  # of a library, and of any length
      message = f'{" ".join(message.split()):.400}'
    complete = 'accepted' in message  # it has its own remedy
    raise FileError(f'{path}: {message}{"" if complete else remedy}') from error


def _mistaken(path: Path) -> str:
  """The actual format of a file, and what to do; '' where it is unknown."""
  if path.is_dir():
    return 'is a folder: accepted is a file'
  try:
    with path.open('rb') as file:
      start = file.read(64)
  except OSError as error:
    return f'cannot be read: {error.strerror}'
  if not start:
    return 'is empty: fetch it again'
  kinds = [text for first, text in MISTAKEN.items()
           if start.lower().startswith(first.lower())]  # fmt: skip
  return kinds[0] if kinds else ''
