"""One run at a time in a working directory.

WORKDIR/run.lock names its holder: host, process and start time. Where the file
system has flock, the kernel holds the lock and releases it when the process
ends, however that happens; two runs of one host never hold it together. Without
flock (gs://), and between hosts whose file system does not share it, the file
itself is the lock, which its holder rewrites every ten seconds. A lock of this
host whose process has ended is taken over at once, one of another host after 45
seconds without a change, by the clock of this host alone. Two runs that start
within two seconds detect each other, unless a write takes longer to be visible.
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
SETTLE_S = 2.0  # until the write of another run is visible
_NO_FLOCK = errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL


@contextmanager
def locked(workdir: str) -> Iterator[None]:
  """Holds WORKDIR/run.lock. ValueError where another run holds it, which it
  names, or where it cannot be written. If the folder is deleted, moved or taken
  over meanwhile, the process ends with exit code 1."""
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
      # Its last holder may have removed the file between open and flock.
      if os.path.samestat(os.fstat(descriptor), os.stat(path)):
        return descriptor
    except BlockingIOError:  # another run holds it
      os.close(descriptor)
      raise _in_use(path, _read(path) or {}) from None
    except FileNotFoundError:
      pass  # its last holder has just removed it
    except OSError as error:
      os.close(descriptor)
      if error.errno in _NO_FLOCK:
        return None
      raise
    os.close(descriptor)


def _taken(path: epath.Path, descriptor: int | None) -> dict[str, Any]:
  """Writes this process as the holder, unless another run is."""
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
  if not flocked:  # the last of several writers has it
    time.sleep(SETTLE_S)
    if (theirs := _read(path) or {}).get('id') != ours['id']:
      raise _in_use(path, theirs)
  return ours


def _alive(path, theirs, flocked) -> bool:
  """Whether the run that wrote this lock still runs."""
  machine = theirs.get('machine')
  if flocked and isinstance(machine, list) and machine[:1] == _machine()[:1]:
    return False  # its process would hold it
  if machine == _machine() and theirs.get('started'):
    return _started(theirs.get('process')) == theirs['started']
  end = time.monotonic() + STALE_S
  print(
    f'{path}: waiting up to {STALE_S:.0f} s for a sign that the run of host '
    f'{theirs.get("host")}, process {theirs.get("process")}, is alive',
    file=sys.stderr,
    flush=True,
  )
  while time.monotonic() < end:
    time.sleep(min(BEAT_S / 4, STALE_S / 4))
    now = _read(path)
    if now is None:
      return False  # the run has ended
    if now != theirs:
      return True
  return False


def _beat(path, ours, descriptor, over) -> None:
  """Rewrites the lock until `over`; ends the process if it is not ours."""
  for count in itertools.count(1):
    if over.wait(BEAT_S):
      return
    if wrong := _wrong(path, ours):
      print(wrong, file=sys.stderr, flush=True)
      os._exit(1)
    with suppress(OSError):  # a full disk fails the writes of the run itself
      _write(path, ours, descriptor, count)


def _write(path, ours, descriptor, count) -> None:
  """In place and of constant length, which needs no space on a full disk."""
  text = json.dumps(ours | {'beat': f'{count:012d}'})
  if descriptor is None:
    path.write_text(text)
  else:
    os.pwrite(descriptor, text.encode(), 0)


def _wrong(path, ours) -> str:
  """The reason why the lock is no longer ours; empty where it is."""
  try:
    theirs = _read(path)
  except OSError:
    return ''  # the next beat tries again
  if theirs is None and not path.exists():
    return (
      f'{path.parent} was deleted or moved while this run wrote there: it '
      'ends, and its checkpoints went with the folder'
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
  """The content of the lock; None where the file is missing or empty."""
  for _ in range(3):  # another process may be writing it
    try:
      content = json.loads(path.read_text())
      return content if isinstance(content, dict) else None
    except FileNotFoundError:
      return None
    except ValueError:
      time.sleep(0.05)
  return None


def _machine() -> list[str]:
  """Identifies the boot and the process id namespace of this process."""
  with suppress(OSError):
    kernel = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    return [kernel, os.readlink('/proc/self/ns/pid')]
  return [f'{platform.node()} {platform.system()}', '']


def _started(process: int) -> str | None:
  """The start of a process of this host in ticks since boot, which a later
  process of the same id does not share; None where it does not run."""
  with suppress(OSError):
    stat = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
    return stat[19] if stat[0] != 'Z' else None
  return None
