"""Rows of a file, or of a tensorflow-datasets builder, with random access.

A local builder converts a file once into an ArrayRecord, which is then read by
position, by any number of processes. It stores the raw rows and is keyed by the
file's hash, so a changed file or a changed entry of `TASKS` never gives stale
rows. All rows are checked before the first one is returned.
"""

import functools
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, SupportsIndex

from hybrid_latent.data import plain
from hybrid_latent.data.row_files import SUFFIXES, numbered_rows
from hybrid_latent.data.tasks import TASKS, Task, later_problem, problem


class Problems:
  """A sequence of rows `{'question': str, 'answer': str, ...}`."""

  def __init__(
    self,
    task: Task,
    source: Any,
    file: Path | None = None,
    digest: str | None = None,
  ):
    """`file` is the origin of `source`, for messages; `digest` that of its
    content, None to compute it from the rows."""
    self._task = task
    self._source = source
    self._file = file
    self.digest = digest

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: SupportsIndex) -> dict:
    number = range(len(self))[index]  # IndexError, and indices below 0
    row = _decoded(self._source[number])
    try:
      return problem(self._task, row)
    except ValueError as error:
      place = f'{self._file}, row {number + 1}' if self._file else 'a row'
      raise ValueError(f'{place}: {error}') from error


def problems(
  task: str | Task,
  path: str | None,
  split: str,
  *,
  fields: str | Mapping[str, str] | None = None,
  data_dir: str | None = None,
) -> Problems:
  """The rows of one split, in the order of the file.

  Args:
    task: a name in `TASKS`, or a `Task`. A file whose first row is not of the
      named task is read as plain rows if it has a question and an answer, and a
      log message says so.
    path: the data set's folder, or the file itself (.jsonl, .json, .csv);
      None downloads it through the task's builder in tensorflow-datasets.
    split: a key of the task's `splits`, the name of a file in `path` without
      its suffix, or a file.
    fields: our field -> field of the file, where it differs from the task's:
      'question=problem,answer=result.value'.
    data_dir: folder of converted files; by default $TFDS_DATA_DIR, else
      ~/.cache/hybrid_latent.

  Raises ValueError for a row that is not of the task, with its file and line,
  and FileNotFoundError for a missing file.
  """
  spec, renamed = _task(task), plain.fields_of(fields)
  data_dir = data_dir or os.environ.get('TFDS_DATA_DIR')
  data_dir = os.path.expanduser(data_dir or '~/.cache/hybrid_latent')
  if not path:
    source = _downloaded(task, spec, split, data_dir)
    spec = spec._replace(fields={**spec.fields, **renamed})
    return Problems(spec, source)
  try:
    file = split_file(path, spec, split)
  except PermissionError as error:
    raise ValueError(f'data.path={path!r} may not be read: {error}') from error
  if isinstance(task, Task):
    spec = spec._replace(fields={**spec.fields, **renamed})
  else:
    spec = _read_as(task, spec, renamed, file)
  # Here, because tensorflow-datasets takes long to import.
  from hybrid_latent.data.array_records import records

  digest, source = records(file, data_dir)
  return Problems(spec, source, file, digest)


def split_file(path: str, task: Task, split: str) -> Path:
  """The file of a split. FileNotFoundError for a missing file, ValueError for a
  split that is in neither the task nor the folder."""
  folder = Path(path).expanduser()
  named = Path(split).expanduser()
  if named.suffix.lower() in SUFFIXES:
    inside = (folder if folder.is_dir() else folder.parent) / named
    return _existing(inside if inside.is_file() else named)
  if not folder.is_dir():
    # A file serves as any split, unless its name is that of another split.
    if split not in task.splits and folder.name in task.splits.values():
      raise ValueError(_no_split(task, split, folder))
    return _existing(folder)
  names = [f'{split}{suffix}' for suffix in SUFFIXES]
  names = [*filter(None, [task.splits.get(split)]), *names]
  for name in names:
    if (folder / name).is_file():
      return folder / name
  if split not in task.splits:
    raise ValueError(_no_split(task, split, folder))
  return _existing(folder / names[0])


def is_training_alone(path: str, test: str) -> bool:
  """Whether `path` is one file, or a folder with one that is not `test`."""
  folder = Path(path).expanduser()
  if Path(test).suffix.lower() in SUFFIXES:
    return False
  files = data_files(folder)
  one = len(files) == 1 and Path(files[0]).stem != test
  return folder.is_file() or one


def has_test(task: str | Task, path: str, test: str) -> bool:
  """Whether `path`, or where it is '' the download of the task, has `test`."""
  return (
    not is_training_alone(path, test) if path else test in _task(task).splits
  )


def data_files(folder: Path) -> list[str]:
  """The names of the data files in a folder."""
  files = folder.glob('*') if folder.is_dir() else ()
  return sorted(file.name for file in files if file.suffix.lower() in SUFFIXES)


def _no_split(task: Task, split: str, path: Path) -> str:
  return (
    f'split={split!r}: this task has {sorted(task.splits)}, and {path} has no '
    f'{split}.jsonl, .json or .csv (it has {data_files(path)}): write '
    'max_steps=0 to evaluate only, or a file as data.train_split or '
    'data.test_split'
  )


def _existing(file: Path) -> Path:
  if not file.is_file():
    raise FileNotFoundError(
      f'{file} does not exist ({file.parent} has {data_files(file.parent)}): '
      'write the folder of the data set or the file as data.path, or a file of '
      'the folder as data.train_split or data.test_split'
    )
  return file


def _task(task: str | Task) -> Task:
  if isinstance(task, Task):
    return task
  if task not in TASKS:
    raise ValueError(
      f'task={task!r}: accepted is one of {sorted(TASKS)}: write '
      "'plain' for your own data"
    )
  return TASKS[task]


def _read_as(
  name: str, task: Task, renamed: Mapping[str, str], file: Path
) -> Task:
  """The task of the file, by its first row. Checks all rows."""
  spec, why, columns = None, '', {}
  for place, row in numbered_rows(file):
    try:
      if spec is None:
        spec, why = plain.reader(task, row, renamed)
        problem(spec, row)
      later_problem(spec, row)
    except ValueError as error:
      raise ValueError(f'{file}, {place}: {error}') from error
    columns |= dict.fromkeys(row)
  assert spec is not None  # numbered_rows refuses a file without rows
  if why:
    read = ', '.join(
      f'{ours} from {column!r}'
      for ours, column in spec.fields.items()
      if ours not in spec.optional or column in columns
    )
    _log(f'{file}: read as plain rows ({read}), not as task {name}; {why}')
  if why or name in ('plain', 'gsm8k'):
    spec = plain.with_columns(spec, [*columns])
  return spec


@functools.cache
def _log(text: str) -> None:
  """Cached, so logged once: a run opens its data more than once."""
  logging.getLogger(__name__).info(text)


def _downloaded(name: str | Task, task: Task, split: str, data_dir: str) -> Any:
  if task.tfds is None:
    with_builder = sorted(k for k, v in TASKS.items() if v.tfds)
    raise ValueError(
      f'data.path is empty, and tensorflow-datasets has no builder for '
      f'task={name!r} (only for {with_builder}): write data.path=FOLDER, or a '
      'file'
    )
  if split not in task.splits:
    raise ValueError(
      f'split={split!r}: accepted is one of {sorted(task.splits)}'
    )
  import tensorflow_datasets as tfds

  name = name if isinstance(name, str) else task.tfds
  config = tfds.download.DownloadConfig(try_download_gcs=False)
  try:
    builder: Any = tfds.builder(
      task.tfds, data_dir=data_dir, file_format='array_record'
    )
    builder.download_and_prepare(download_config=config)
    return builder.as_data_source(split=split)
  except Exception as error:  # of any library below: the network, the disk
    raise ValueError(
      f'data.path is empty, and task={name!r} could not be downloaded into '
      f'{data_dir} ({type(error).__name__}: {first_line(error)}): write '
      'data.path=FOLDER, with its files'
    ) from error


def first_line(error: Exception) -> str:
  """The first line of its message, for messages of one sentence."""
  return f'{error}'.strip().partition('\n')[0][:200]


def _decoded(record: Mapping[str, Any]) -> dict:
  if set(record) == {'json'}:  # of `array_records`; others are of tfds builders
    return json.loads(record['json'])
  return {key: _text(value) for key, value in record.items()}


def _text(value: Any) -> Any:
  """The value with texts and lists in place of bytes and arrays."""
  if isinstance(value, Mapping):
    return _decoded(value)
  value = value.tolist() if hasattr(value, 'tolist') else value
  if isinstance(value, list):
    return [*map(_text, value)]
  return value.decode() if isinstance(value, bytes) else value
