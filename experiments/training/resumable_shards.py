"""Long jobs in parts: each a file that is there whole or not at all, so that
the same command goes on after a stop."""

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

from ..fields.renamed import renamed_config
from .cli import Config
from .resume import PLACES, differences
from .workdir import write_run

_ROWS = 'rows of the data, SHA-256'


def settings(config: Config, *counts: str) -> dict[str, Any]:
  """The fields of a config by their dotted names. ValueError where one of
  `counts` is below 1."""
  fields: Any = flatten_dict(json.loads(config.to_json_best_effort()), sep='.')
  for name in counts:
    if fields[name] < 1:
      raise ValueError(f'config.{name} is {fields[name]}: write at least 1')
  return fields


def same_job(
  config: Config,
  path: epath.Path,
  fields: dict[str, Any],
  rows: Sequence[dict],
  holds: str,
) -> Callable[[], None]:
  """Writes down, once there is a first result, what a job's results depend on:
  `fields` of its config and the `rows` that it reads; and WORKDIR/config.json.
  ValueError, at once, where its folder, which `holds` results, has written down
  something else."""
  new = json.loads(json.dumps(fields | {_ROWS: digest(rows)[:16]}))
  if path.exists():
    try:
      old = _renamed(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
      raise ValueError(
        f'{path} is not as it was written ({error}): choose another --workdir, '
        'or delete this one'
      ) from None
    # An older version has no digest.
    free = PLACES if _ROWS in old else ()
    if wrong := differences({_ROWS: new[_ROWS]} | old, new, config, free):
      raise ValueError(
        f'{path.parent} holds {holds} of another configuration:\n'
        + '\n'.join(wrong)
        + '\nWrite these as they were to go on, or choose another --workdir.'
      )

  @functools.cache
  def begin() -> None:
    if not path.exists():
      write(path, [json.dumps(new, indent=2)])
    write_run(config, str(path.parent))

  return begin


def _renamed(job: dict[str, Any]) -> dict[str, Any]:
  """A job as it was written down, with the names that fields have now."""
  nested: Any = unflatten_dict(job, sep='.')
  return flatten_dict(
    nested | {'config': renamed_config(nested.get('config', {}))}, sep='.'
  )


def numbered(folder: epath.Path, count: int) -> list[epath.Path]:
  """Where `count` parts belong."""
  return [folder / 'parts' / f'{i:05d}.jsonl' for i in range(count)]


def ranges(rows: int, size: int) -> list[range]:
  """The rows of each part."""
  return [range(i, min(i + size, rows)) for i in range(0, rows, size)]


def there(paths: Sequence[epath.Path]) -> list[bool]:
  """Which there are, as the first process sees it."""
  exist = np.array([path.exists() for path in paths])
  return multihost_utils.broadcast_one_to_all(exist).tolist()


def lines(paths: Iterable[epath.Path]) -> Iterator[str]:
  """Those of all parts, one after the other."""
  for path in paths:
    with path.open(encoding='utf-8') as file:
      yield from file


def write(path: epath.Path, texts: Iterable[str]) -> int:
  """Writes a file, whole or not at all, in the first process. Returns how many
  texts it has."""
  count = 0
  if jax.process_index() == 0:
    with whole(path) as draft, draft.open('w', encoding='utf-8') as file:
      for text in texts:
        count += bool(file.write(text))
  return count


@contextmanager
def whole(path: epath.Path) -> Iterator[epath.Path]:
  """Where to write what is `path` once it is complete."""
  path.parent.mkdir(parents=True, exist_ok=True)
  draft = path.with_name(f'{path.name}.part')
  yield draft
  draft.replace(path)


def say(text: str) -> None:
  """Prints it once, however many processes there are."""
  if jax.process_index() == 0:
    print(text, flush=True)
