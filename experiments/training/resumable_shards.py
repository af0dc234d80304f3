"""Long jobs in shards: each is a file that is written atomically, so that the
same command resumes after a stop."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from etils import epath
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.experimental import multihost_utils

from hybrid_latent.data.digest import digest

from ..fields.differences import PLACES, differences
from ..fields.renamed import renamed_config
from .cli import Config
from .run_config import write_run

_ROWS = 'rows of the data, SHA-256'


def config_fields(config: Config, *positive: str) -> dict[str, Any]:
  """The fields of a config by their dotted names. ValueError where one of
  `positive` is below 1."""
  fields: Any = flatten_dict(json.loads(config.to_json_best_effort()), sep='.')
  for name in positive:
    if fields[name] < 1:
      raise ValueError(f'config.{name} is {fields[name]}: write at least 1')
  return fields


def validate_job(
  config: Config,
  path: epath.Path,
  fields: dict[str, Any],
  rows: Sequence[dict],
  holds: str,
) -> Callable[[], None]:
  """Returns a function that records the job; call it before the first result.

  It writes the inputs of the job to `path`, `fields` of the config and a digest
  of its `rows`, and WORKDIR/config.json. ValueError, at once, where `path`
  records another job, whose results (`holds`) are in the folder.
  """
  new = json.loads(json.dumps(fields | {_ROWS: digest(rows)[:16]}))
  if path.exists():
    try:
      old = _renamed(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
      raise ValueError(
        f'{path} is not as it was written ({error}): choose another --workdir, '
        'or delete this one'
      ) from None
    # Older versions recorded no digest: then the paths of the data count.
    free = PLACES if _ROWS in old else ()
    if wrong := differences({_ROWS: new[_ROWS]} | old, new, config, free):
      raise ValueError(
        f'{path.parent} holds {holds} of another configuration:\n'
        + '\n'.join(wrong)
        + '\nWrite these as they were to resume, or choose another --workdir.'
      )

  @functools.cache
  def record() -> None:
    if not path.exists():
      write_lines(path, [json.dumps(new, indent=2)])
    write_run(config, str(path.parent))

  return record


def _renamed(job: dict[str, Any]) -> dict[str, Any]:
  """A recorded job with today's names of its fields."""
  nested: Any = unflatten_dict(job, sep='.')
  return flatten_dict(
    nested | {'config': renamed_config(nested.get('config', {}))}, sep='.'
  )


def shard_paths(folder: epath.Path, count: int) -> list[epath.Path]:
  """The files of `count` shards."""
  return [folder / 'parts' / f'{i:05d}.jsonl' for i in range(count)]


def shard_ranges(rows: int, size: int) -> list[range]:
  """The rows of each shard, `size` of them except in the last."""
  return [range(i, min(i + size, rows)) for i in range(0, rows, size)]


def existing(paths: Sequence[epath.Path]) -> list[bool]:
  """Whether each path exists for process 0."""
  # A shared disk may differ between processes, which must run the same steps.
  exist = np.array([path.exists() for path in paths])
  return multihost_utils.broadcast_one_to_all(exist).tolist()


def read_lines(paths: Iterable[epath.Path]) -> Iterator[str]:
  """The lines of all files, in order."""
  for path in paths:
    with path.open(encoding='utf-8') as file:
      yield from file


def write_lines(path: epath.Path, lines: Iterable[str]) -> int:
  """Writes a file atomically in process 0. Returns the number of lines."""
  count = 0
  if jax.process_index() == 0:
    with atomic_file(path) as draft, draft.open('w', encoding='utf-8') as file:
      for line in lines:
        count += bool(file.write(line))
  return count


@contextmanager
def atomic_file(path: epath.Path) -> Iterator[epath.Path]:
  """Yields a draft to write, which replaces `path` once it is complete."""
  path.parent.mkdir(parents=True, exist_ok=True)
  draft = path.with_name(f'{path.name}.part')
  yield draft
  draft.replace(path)


def print_once(text: str) -> None:
  """Prints in process 0."""
  if jax.process_index() == 0:
    print(text, flush=True)
