"""The rows of a file as an ArrayRecord, shared by any number of processes.

A builder of tensorflow-datasets writes it once per content of a file.
"""

import hashlib
import io
import json
import logging
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from hybrid_latent.data.row_files import numbered_rows

_STDOUT = threading.RLock()  # `redirect_stdout` sets that of all threads


def records(file: Path, data_dir: str) -> tuple[str, Any]:
  """The file's hash, and its rows by position as `{'json': text}`.

  They are stored below `data_dir`, or kept in memory where that is not
  writable. A corrupt ArrayRecord is rebuilt.
  """
  digest = hashlib.sha256(file.read_bytes()).hexdigest()
  folder = Path(data_dir, f'{file.stem}-{digest[:16]}')
  try:
    return digest, _open_or_build(file, folder)
  except (OSError, RuntimeError) as error:  # of the file system, of Riegeli
    logging.getLogger(__name__).warning(
      '%s cannot be written (%s): the rows of %s are kept in memory; set '
      'TFDS_DATA_DIR to a folder that can be',
      data_dir,
      error,
      file,
    )
    return digest, [{'json': json.dumps(row)} for _, row in numbered_rows(file)]


def _open_or_build(file: Path, folder: Path) -> Any:
  """The data source in `folder`, built from the file where it has none."""
  # Asked first: a builder does not read what is finished after it was made.
  if Path(folder, Lines.name, str(Lines.VERSION)).exists():
    try:
      source = _data_source(folder)
      for number in range(len(source)):  # each record has a checksum
        source.data_source[number]
      return source
    except Exception as error:  # of any library below
      logging.getLogger(__name__).warning(
        '%s is corrupt (%.200s) and rebuilt', folder, error
      )
      shutil.rmtree(folder, ignore_errors=True)
  _build(file, folder)
  return _data_source(folder)


def _data_source(folder: Path) -> Any:
  builder: Any = Lines((), folder)
  return builder.as_data_source(split='rows')


def _build(file: Path, folder: Path) -> None:
  """Builds under a temporary name, without output: nothing is downloaded. A
  process that loses the race to rename it leaves the winner's files."""
  with _STDOUT:
    builder = Lines((row for _, row in numbered_rows(file)), folder)
    tfds.display_progress_bar(False)
    try:
      with redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    except OSError:
      if not builder.data_path.exists():
        raise
    finally:
      tfds.display_progress_bar(True)


class Lines(tfds.core.GeneratorBasedBuilder):
  """The rows of one file, each as its own JSON text, in order."""

  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, rows: Iterable[dict], folder: Path):
    self._rows = rows
    super().__init__(data_dir=str(folder), file_format='array_record')

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict({'json': tfds.features.Text()}),
      disable_shuffling=True,  # a row keeps its number
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # nothing is downloaded
    return {'rows': self._generate_examples()}

  def _generate_examples(self) -> Iterator[tuple[int, dict]]:
    for i, row in enumerate(self._rows):
      yield i, {'json': json.dumps(row)}
