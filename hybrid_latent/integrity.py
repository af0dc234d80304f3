"""Whether a checkpoint is as it was saved: a digest of each of its files.

Neither zarr nor OCDBT notices a flipped bit of an array, so each step of a run
has beside its arrays `digests/digests.json`, {file: [bytes, SHA-256]}, and
'step', [its number, '']. It is written in the background, after all else and
before the step gets its final name. Of a step without one, which an older
version wrote, only the structure can be looked at.
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
_NEEDED = 'notes/metadata', 'state/_METADATA', 'state/manifest.ocdbt'


def fault(step: epath.Path) -> str | None:
  """What is wrong with the step of this folder; None if it is whole. The
  content of a file that has not changed since is compared once a process."""
  found = {
    f'{folder.relative_to(step)}/{name}'.removeprefix('./'): folder / name
    for folder, _, names in step.walk()
    for name in names
  }
  digests = found.get(f'{ITEM}/{_FILE}')
  for name in _STEP, *_NEEDED, *({_METRICS} & found.keys()):
    if name not in found:
      return f'{name} is missing'
    is_json = not name.endswith('.ocdbt')
    if is_json and _json_object(found[name]) is None:
      return f'{name} is not a JSON object'
  if digests is None:
    if f'"{ITEM}"' in found[_STEP].read_text():
      return f'{ITEM}/{_FILE} is missing'
    return None if ocp.utils.is_checkpoint_finalized(step) else 'it is cut off'
  saved = _json_object(digests) or {}
  pairs = all(
    isinstance(x, list) and len(x) == 2 and isinstance(x[1], str)
    for x in saved.values()
  )
  if not pairs or not {*_NEEDED} <= saved.keys():
    return f'{ITEM}/{_FILE} is not what was saved'
  number, _ = saved.pop(_NUMBER, (step.name, ''))  # older ones do not say
  if f'{number}' != step.name:
    return f'it was saved as step {number}'
  for name, (size, _) in saved.items():
    if name not in found:
      return f'{name} is missing'
    if (now := found[name].stat().length) != size:
      return f'{name} has {now} bytes, and {size} were saved'
  stamps = tuple((name, *_stamp(found[name])) for name in sorted(saved))
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
    """Reads what the other items have written, on the first process."""
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
    said = saved | {_NUMBER: [number, '']}
    (directory / _FILE).write_text(json.dumps(said))


@ocp.args.register_with_handler(DigestsHandler, for_save=True, for_restore=True)
@dataclasses.dataclass
class DigestsSave(ocp.args.CheckpointArgs):
  """Asks for the digests of a step."""


@lru_cache
def _other_content(step, stamps, digests) -> str | None:
  names = [name for name, *_ in stamps]
  with ThreadPoolExecutor() as pool:
    found = pool.map(_digest, [step / name for name in names])
    for name, now, then in zip(names, found, digests, strict=True):
      if now != then:
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
    return (about := file.stat()).length, about.mtime
  return (about := os.stat(file)).st_size, about.st_mtime_ns


def _json_object(file: epath.Path) -> dict | None:
  try:
    found = json.loads(file.read_text())
  except (ValueError, OSError):  # UnicodeDecodeError is a ValueError
    return None
  return found if isinstance(found, dict) else None
