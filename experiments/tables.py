"""Rows that runs wrote, and tables that are made of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import fsspec

Run = list[dict]  # rows of metrics.jsonl or completions.jsonl


def rows_of(run: str | Path, kind: str, needed: bool = False) -> Run:
  """The rows of one file of a run; none where there is no such file."""
  path = f'{run}/{kind}.jsonl'
  files, root = fsspec.url_to_fs(path)
  if files.exists(root):
    with files.open(root, 'rt', encoding='utf-8') as file:
      return [json.loads(line) for line in file]
  if needed:
    raise FileNotFoundError(
      f'{path} does not exist: a run is the working directory that an '
      'experiment was given as --workdir'
    )
  return []


def write_whole(path: str | Path, data: str | bytes) -> None:
  """A reader of `path` sees the old file or the new one, never a half."""
  part = Path(f'{path}.part')
  text = isinstance(data, str)
  part.write_bytes(data.encode('utf-8', 'replace') if text else data)
  part.replace(path)


def markdown(table: Sequence[dict]) -> str:
  """The table for a terminal, or a README."""
  show = lambda x: f'{x:.4g}' if isinstance(x, float) else str(x)
  names = columns(table)
  lines = [names, ['---'] * len(names)]
  lines += [[show(line.get(name, '–')) for name in names] for line in table]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def columns(table: Sequence[dict]) -> list[str]:
  """The names of all lines, in the order they come up."""
  return list({name: None for line in table for name in line})
