"""Rows of a JSON file, or of a tensorflow-datasets builder, at random access.

A file is turned once into an ArrayRecord by a local builder and from then on
read by position, by any number of readers. The builder stores the lines as they
are and is keyed by their hash: neither a changed file nor a changed row of
`TASKS` is ever read stale.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, SupportsIndex

import tensorflow_datasets as tfds

from hybrid_latent.data.tasks import TASKS, Task, problem


class Problems:
  """A sequence of rows `{'question': str, 'answer': str, ...}`."""

  def __init__(self, task: Task, source: Any, digest: str | None = None):
    self._task = task
    self._source = source
    self.digest = digest  # of the file; None: of the rows

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: SupportsIndex) -> dict:
    number = range(len(self))[index]  # an IndexError where it should be one
    return problem(self._task, _decoded(self._source[number]))


def problems(
  task: str | Task,
  path: str | None,
  split: str,
  *,
  data_dir: str | None = None,
) -> Problems:
  """The rows of one split, in the order of the file.

  Args:
    task: a name in `TASKS`, or a `Task` of your own.
    path: the data set's folder, or the file itself (.jsonl, or .json holding
      one list); None downloads it through the task's builder in
      tensorflow-datasets.
    split: a key of the task's `splits`.
    data_dir: where prepared files are kept; by default $TFDS_DATA_DIR, else
      ~/.cache/hybrid_latent.
  """
  row = _task(task)
  if split not in row.splits:
    raise ValueError(f'split={split!r}: this task has {sorted(row.splits)}')
  data_dir = data_dir or os.environ.get('TFDS_DATA_DIR')
  data_dir = os.path.expanduser(data_dir or '~/.cache/hybrid_latent')
  if path is None:
    builder, part = _released(task, row, data_dir), split
    digest = None
  else:
    file = _file(Path(path), row, split)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    builder, part = _local(file, digest, data_dir), 'rows'
  _prepare(builder)
  return Problems(row, builder.as_data_source(split=part), digest)


def _task(task: str | Task) -> Task:
  if isinstance(task, Task):
    return task
  if task not in TASKS:
    raise ValueError(
      f'task={task!r} is not in the table, which has {sorted(TASKS)}; pass a '
      '`Task` for data of your own'
    )
  return TASKS[task]


def _file(path: Path, task: Task, split: str) -> Path:
  file = path / task.splits[split] if path.is_dir() else path
  if not file.is_file():
    near = sorted(p.name for p in file.parent.glob('*.json*'))
    raise FileNotFoundError(
      f'{file} does not exist ({file.parent} has {near}); `path` is the folder '
      'of the data set or the file itself'
    )
  return file


def _released(name: str | Task, task: Task, data_dir: str) -> Any:
  if task.tfds is None:
    known = sorted(k for k, v in TASKS.items() if v.tfds)
    raise ValueError(
      f'path=None: tensorflow-datasets has no builder for task={name!r} (only '
      f'for {known}); give the path of its folder or file'
    )
  return tfds.builder(task.tfds, data_dir=data_dir, file_format='array_record')


def _local(file: Path, digest: str, data_dir: str) -> Any:
  return Lines(
    file,
    data_dir=f'{data_dir}/{file.stem}-{digest[:16]}',
    file_format='array_record',
  )


def _prepare(builder: tfds.core.DatasetBuilder) -> None:
  """Builds under a temporary name. Whoever loses a race to rename it reads what
  the winner wrote."""
  config = tfds.download.DownloadConfig(try_download_gcs=False)
  try:
    builder.download_and_prepare(download_config=config)
  except OSError:
    if not builder.data_path.exists():
      raise
    builder.info.read_from_directory(builder.data_path)


class Lines(tfds.core.GeneratorBasedBuilder):
  """The rows of one JSON file, each as its own JSON text, in order."""

  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, file: Path, **kwargs):
    self._file = file
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict({'json': tfds.features.Text()}),
      disable_shuffling=True,  # a row keeps its number
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # the file is here
    return {'rows': self._generate_examples(self._file)}

  def _generate_examples(self, file: Path) -> Iterator[tuple[int, dict]]:
    for i, row in enumerate(_rows(file)):
      yield i, {'json': json.dumps(row)}


def _rows(file: Path) -> Iterator[dict]:
  text = file.read_text(encoding='utf-8')
  if file.suffix == '.json':
    yield from json.loads(text)
    return
  # Not splitlines(): JSON strings may hold the other Unicode line ends.
  for number, line in enumerate(text.split('\n'), 1):
    if not line.strip():
      continue
    try:
      yield json.loads(line)
    except json.JSONDecodeError as error:
      raise ValueError(
        f'{file}, line {number}: {error}; every line holds one JSON object'
      ) from error


def _decoded(record: Mapping[str, Any]) -> dict:
  if set(record) == {'json'}:
    return json.loads(record['json'])
  return {
    key: value.decode() if isinstance(value, bytes) else value
    for key, value in record.items()
  }
