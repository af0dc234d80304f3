"""Integrity of a checkpoint: a digest of each of its files.

Neither zarr nor OCDBT detects a flipped bit of an array, so each step of a run
has beside its arrays `digests/digests.json`, {file: [bytes, SHA-256]}, and
'step', [its number, '']. It is written in the background, after all other files
and before the step gets its final name. In a step without it, written by an
older version, only the structure is verified.
"""

import dataclasses
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import orbax.checkpoint as ocp
from etils import epath

ITEM = 'digests'
_FILE = 'digests.json'
_STEP = '_CHECKPOINT_METADATA'  # Orbax's; it changes once a step is complete
_COMMITTED = 'commit_success.txt'  # likewise, in each folder
_DRAFT = '.orbax-checkpoint-tmp'
_METRICS = 'metrics/metrics'  # where a run has a best step
_NUMBER = 'step'  # in the digests, beside the names of files
_REQUIRED = 'notes/metadata', 'state/_METADATA', 'state/manifest.ocdbt'


def fault(step: epath.Path) -> str | None:
  """The first fault of the step in this folder; None if it is whole. A file's
  content is verified once per process, and again if its size or time of
  modification changes."""
  files = {
    f'{folder.relative_to(step)}/{name}'.removeprefix('./'): folder / name
    for folder, _, names in step.walk()
    for name in names
  }
  digests = files.get(f'{ITEM}/{_FILE}')
  for name in _STEP, *_REQUIRED, *({_METRICS} & files.keys()):
    if name not in files:
      return f'{name} is missing'
    is_json = not name.endswith('.ocdbt')
    if is_json and _json_object(files[name]) is None:
      return f'{name} is not a JSON object'
  if digests is None:
    # Orbax lists the items of a step: with digests there, the file was lost.
    if f'"{ITEM}"' in files[_STEP].read_text():
      return f'{ITEM}/{_FILE} is missing'
    return None if ocp.utils.is_checkpoint_finalized(step) else 'it is cut off'
  saved = _json_object(digests) or {}
  pairs = all(
    isinstance(x, list) and len(x) == 2 and isinstance(x[1], str)
    for x in saved.values()
  )
  if not pairs or not {*_REQUIRED} <= saved.keys():
    return f'{ITEM}/{_FILE} is not what was saved'
  number, _ = saved.pop(_NUMBER, (step.name, ''))  # absent in older ones
  if f'{number}' != step.name:
    return f'it was saved as step {number}'
  # Sizes first: they find a truncated file without reading any.
  for name, (size, _) in saved.items():
    if name not in files:
      return f'{name} is missing'
    if (now := files[name].stat().length) != size:
      return f'{name} has {now} bytes, and {size} were saved'
  # Size and time are the key of the cache that saves reading a file again.
  stamps = tuple((name, *_stamp(files[name])) for name in sorted(saved))
  return _other_content(step, stamps, tuple(saved[n][1] for n in sorted(saved)))


def has_digests(step: epath.Path) -> bool:
  """Whether the step of this folder was saved with digests."""
  return (step / ITEM / _FILE).exists()


class DigestsHandler(ocp.CheckpointHandler):
  """Writes the digests of a step: an item of its Composite, after the others
  among the handlers of its manager."""

  def save(self, directory: epath.Path, args: Any) -> None:
    """Nothing: the other items are not written yet."""

  def restore(self, directory: epath.Path, args: Any = None) -> None:
    """Nothing: see `fault`."""

  def finalize(self, directory: epath.Path) -> None:
    """Writes the digests of the other items' files, on the first process."""
    step = directory.parent
    files = {
      f'{folder.relative_to(step)}/{name}'.replace(_DRAFT, ''): folder / name
      for folder, _, names in step.walk()
      for name in names
      if folder != step and name != _COMMITTED
    }
    with ThreadPoolExecutor() as pool:
      digests = pool.map(_digest, files.values())
      saved = {
        name: [file.stat().length, digest]
        for (name, file), digest in zip(files.items(), digests, strict=True)
      }
    number = int(step.name.removesuffix(_DRAFT))
    (directory / _FILE).write_text(json.dumps(saved | {_NUMBER: [number, '']}))


@ocp.args.register_with_handler(DigestsHandler, for_save=True, for_restore=True)
@dataclasses.dataclass
class DigestsSave(ocp.args.CheckpointArgs):
  """Orbax's argument that saves the digests of a step."""


@lru_cache
def _other_content(step, stamps, digests) -> str | None:
  names = [name for name, *_ in stamps]
  with ThreadPoolExecutor() as pool:
    current = pool.map(_digest, [step / name for name in names])
    for name, digest, saved in zip(names, current, digests, strict=True):
      if digest != saved:
        return f'{name} has other content than was saved'
  return None


def _digest(file: epath.Path) -> str:
  state = hashlib.sha256()
  with file.open('rb') as stream:
    while part := stream.read(2**20):
      state.update(part)
  return state.hexdigest()


def _stamp(file: epath.Path) -> tuple[int, int]:
  if '://' in str(file):
    return (stat := file.stat()).length, stat.mtime
  return (stat := os.stat(file)).st_size, stat.st_mtime_ns


def _json_object(file: epath.Path) -> dict | None:
  try:
    value = json.loads(file.read_text())
  except (ValueError, OSError):  # UnicodeDecodeError is a ValueError
    return None
  return value if isinstance(value, dict) else None
