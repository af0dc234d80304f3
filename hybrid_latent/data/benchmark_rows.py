"""The rows of a benchmark, from a file, tensorflow-datasets or the hub.

    benchmark_rows('math500', '../data')  # ../data/math500/test.jsonl
    benchmark_rows('math500', '../data/math500')
    benchmark_rows('math500')  # HuggingFaceH4/MATH-500

All give the same fields, whatever the columns are called there.
"""

from pathlib import Path
from typing import Any

from hybrid_latent.data import jsonl
from hybrid_latent.data.benchmarks import BENCHMARKS, Benchmark
from hybrid_latent.extras import missing


def benchmark_rows(
  name: str, path: str = '', data_dir: str | None = None
) -> jsonl.Problems:
  """The test rows of a benchmark in the form of `jsonl.problems`, in the order
  of the file. The fields are in `benchmark_tasks.py`.

  Args:
    name: a key of `BENCHMARKS`.
    path: the folder of all benchmarks, the folder of this one, its file, or a
      copy of its repository of the hub; '' loads it from tensorflow-datasets
      or, where that has none, from the hub.
    data_dir: as in `jsonl.problems`.

  Raises ValueError for an unknown name, for a data set that cannot be loaded
  and for a row of another form, and FileNotFoundError for a missing file.
  """
  if name not in BENCHMARKS:
    raise ValueError(
      f'benchmark={name!r}: accepted is one of {sorted(BENCHMARKS)}'
    )
  benchmark = BENCHMARKS[name]
  if path:
    return _of_path(benchmark, Path(path).expanduser(), data_dir)
  if benchmark.tfds:
    return jsonl.problems(benchmark.tfds, None, 'test', data_dir=data_dir)
  if benchmark.hub:
    return _of_hub(benchmark, benchmark.hub.name)
  raise ValueError(
    f'benchmark={name!r} is not on a hub with these fields: write the folder '
    f'that has {benchmark.file} as path; its fields are '
    f'{sorted(benchmark.task.fields.values())}'
  )


def _of_path(
  benchmark: Benchmark, path: Path, data_dir: str | None
) -> jsonl.Problems:
  file, hub = Path(benchmark.file), benchmark.hub
  for one in (path, path / file, path / file.name):
    if one.is_file():
      return jsonl.problems(benchmark.task, f'{one}', 'test', data_dir=data_dir)
  if hub and any(any(path.glob(x)) for x in ('*.parquet', '*/*.parquet')):
    return _of_hub(benchmark, f'{path}')
  other = f", or path='' to load {hub.name} from the hub" if hub else ''
  raise FileNotFoundError(
    f'{path} has neither {file} nor {file.name}: write the folder of one of '
    f'them, or the file{other}'
  )


def _of_hub(benchmark: Benchmark, path: str) -> jsonl.Problems:
  """The rows of a data set by its name on the hub, or of a folder with a copy
  of its repository."""
  hub: Any = benchmark.hub
  try:
    from datasets import load_dataset
  except ModuleNotFoundError as error:
    raise missing('benchmarks', error.name) from error
  try:
    rows = load_dataset(path, hub.config, split=hub.split)
  except Exception as error:  # of any library below: the network, the files
    raise ValueError(
      f'{path}, config {hub.config}, split {hub.split} could not be loaded '
      f'({type(error).__name__}: {jsonl.first_line(error)}): write the '
      f'folder that has {benchmark.file} as path'
    ) from error
  return jsonl.Problems(hub.task, rows, Path(path))
