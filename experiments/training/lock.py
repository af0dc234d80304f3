"""One run at a time in a working directory.

WORKDIR/run.lock says who writes there: host, process, since when. Where the
file system has flock, the kernel holds the lock and lets go of it with the
process, however that ends; two runs of one host never hold it together. Where
there is none (gs://), and between hosts whose file system does not share it,
the file itself is the lock. Its holder changes it every ten seconds. A lock of
this host whose process has ended is taken over at once, and one of another host
once it has not changed for 45 seconds, measured here: no clock is compared.
Two runs that begin in the same two seconds see each other, unless a write takes
longer than that to be seen.
"""

import errno
import fcntl
import itertools
import json
import os
import platform
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from etils import epath

from hybrid_latent.cluster import Ended

FILE = 'run.lock'
BEAT_S = 10.0  # seconds between two changes
STALE_S = 45.0  # without a change
SETTLE_S = 2.0  # until another writer is seen
_NO_FLOCK = errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL


@contextmanager
def locked(workdir: str) -> Iterator[None]:
  """Holds WORKDIR/run.lock. ValueError names the run that has it, and what
  keeps it from being written. If somebody deletes, moves or takes over the
  folder meanwhile, the process ends with exit code 1."""
  path, descriptor = epath.Path(workdir) / FILE, None
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    if '://' not in workdir:
      descriptor = _flock(path)
    ours = _taken(path, descriptor)
  except OSError as error:
    raise ValueError(
      f'--workdir={workdir} cannot be written: {error.strerror or error}: '
      'choose another --workdir'
    ) from error
  over = threading.Event()
  beat = threading.Thread(
    target=_beat, args=(path, ours, descriptor, over), daemon=True
  )
  beat.start()
  try:
    yield
  finally:
    over.set()
    beat.join()
    if wrong := _wrong(path, ours):
      raise Ended(1, wrong)
    path.unlink()
    if descriptor is not None:
      os.close(descriptor)


def _flock(path: epath.Path) -> int | None:
  """The descriptor that holds the lock; None where there is no flock."""
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      if os.path.samestat(os.fstat(descriptor), os.stat(path)):
        return descriptor
    except BlockingIOError:
      os.close(descriptor)
      raise _in_use(path, _read(path) or {}) from None
    except FileNotFoundError:
      pass  # its last holder has removed it just now
    except OSError as error:
      os.close(descriptor)
      if error.errno in _NO_FLOCK:
        return None
      raise
    os.close(descriptor)


def _taken(path: epath.Path, descriptor: int | None) -> dict[str, Any]:
  """Writes who holds the lock, unless another does."""
  flocked = descriptor is not None
  if (theirs := _read(path)) and _alive(path, theirs, flocked):
    raise _in_use(path, theirs)
  ours = {
    'host': socket.gethostname(),
    'process': os.getpid(),
    'since': datetime.now().astimezone().isoformat(timespec='seconds'),
    'command': sys.argv,
    'started': _started(os.getpid()),
    'machine': _machine(),
    'id': uuid.uuid4().hex,
  }
  if descriptor is not None:
    os.ftruncate(descriptor, 0)
  _write(path, ours, descriptor, 0)
  if not flocked:
    time.sleep(SETTLE_S)
    if (theirs := _read(path) or {}).get('id') != ours['id']:
      raise _in_use(path, theirs)
  return ours


def _alive(path, theirs, flocked) -> bool:
  """Whether the run that wrote this lock is still there."""
  machine = theirs.get('machine')
  if flocked and isinstance(machine, list) and machine[:1] == _machine()[:1]:
    return False  # its process would hold it
  if machine == _machine() and theirs.get('started'):
    return _started(theirs.get('process')) == theirs['started']
  end = time.monotonic() + STALE_S
  print(
    f'{path}: looking for up to {STALE_S:.0f} s whether the run of host '
    f'{theirs.get("host")}, process {theirs.get("process")}, is alive',
    file=sys.stderr,
    flush=True,
  )
  while time.monotonic() < end:
    time.sleep(min(BEAT_S / 4, STALE_S / 4))
    now = _read(path)
    if now is None:
      return False  # it is over
    if now != theirs:
      return True
  return False


def _beat(path, ours, descriptor, over) -> None:
  """Changes the lock until `over`; ends the process if it is not ours."""
  for count in itertools.count(1):
    if over.wait(BEAT_S):
      return
    if wrong := _wrong(path, ours):
      print(wrong, file=sys.stderr, flush=True)
      os._exit(1)
    with suppress(OSError):  # a full disk is told by what the run writes
      _write(path, ours, descriptor, count)


def _write(path, ours, descriptor, count) -> None:
  """In place and always as long, so that it needs no room on a full disk."""
  text = json.dumps(ours | {'beat': f'{count:012d}'})
  if descriptor is None:
    path.write_text(text)
  else:
    os.pwrite(descriptor, text.encode(), 0)


def _wrong(path, ours) -> str:
  """What has become of a lock that is no longer ours."""
  try:
    theirs = _read(path)
  except OSError:
    return ''  # the next look will tell
  if theirs is None and not path.exists():
    return (
      f'{path.parent} was deleted or moved while this run wrote there: it '
      'ends; what was saved is gone with the folder'
    )
  if theirs and theirs.get('id') != ours['id']:
    return f'{_in_use(path, theirs)}; this run ends, exit code 1'
  return ''


def _in_use(path: epath.Path, theirs: dict[str, Any]) -> ValueError:
  return ValueError(
    f'--workdir={path.parent} is in use by a run on host '
    f'{theirs.get("host", "(unknown)")}, process {theirs.get("process", "?")}, '
    f'since {theirs.get("since", "?")}: end that run, wait for it, or choose '
    'another --workdir'
  )


def _read(path: epath.Path) -> dict[str, Any] | None:
  """What the lock says; None where there is none, or nothing in it."""
  for _ in range(3):  # it may be just being written
    try:
      found = json.loads(path.read_text())
      return found if isinstance(found, dict) else None
    except FileNotFoundError:
      return None
    except ValueError:
      time.sleep(0.05)
  return None


def _machine() -> list[str]:
  """Of whom this kernel and these process ids are."""
  with suppress(OSError):
    kernel = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    return [kernel, os.readlink('/proc/self/ns/pid')]
  return [f'{platform.node()} {platform.system()}', '']


def _started(process: int) -> str | None:
  """When a process of this host began, in ticks since the host did: another
  one that got its number later differs. None where it is not there."""
  with suppress(OSError):
    about = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
    return about[19] if about[0] != 'Z' else None
  return None
