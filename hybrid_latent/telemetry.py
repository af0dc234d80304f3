"""The files of a run: metrics, sampled completions, and the time per section.

    metrics.jsonl      one JSON object per step, null for non-finite numbers
    completions.jsonl  one JSON object per sampled completion
    events.out.*       the same metrics for TensorBoard

The working directory may be any that fsspec supports (`gs://...`). An object
store cannot append, so there the files grow locally and are uploaded whole, at
most once per minute and at the end.
"""

import contextlib
import json
import math
import os
import re
import sys
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TextIO

from jax import monitoring

from hybrid_latent.extras import missing

try:
  import fsspec
  from tensorboard.compat.proto import event_pb2, summary_pb2
  from tensorboard.summary.writer.record_writer import RecordWriter
  from tqdm import tqdm
except ModuleNotFoundError as error:
  raise missing('train', error.name) from error

# Protobuf creates these classes at import, invisible to a type checker.
_Event: Any = vars(event_pb2)['Event']
_SessionLog: Any = vars(event_pb2)['SessionLog']
_Summary: Any = vars(summary_pb2)['Summary']

_ON_THE_BAR = ('loss', 'reward', 'kl', 'hidden_ratio', 'time/step')
_UPLOAD_EVERY_S = 60.0
_COMPILED = '/jax/core/compile/backend_compile_duration'  # an event of jax
_SECONDS = re.compile(r'tfevents\.(\d+\.\d+)\.')  # in a file's name


class Telemetry:
  """Writes the metrics and completions of one run; a context manager.

  A run that resumes at `resume_step` drops the rows of that step and later ones
  from its files, so that its curves have no double points; one that starts at 0
  renames the files of an earlier run in this directory to FILE.until-DATE.
  Only process 0 writes; on the others every method does nothing.
  """

  def __init__(
    self,
    workdir: str | Path,
    *,
    total: int | None = None,
    tensorboard: bool = True,
    process: int = 0,
    resume_step: int = 0,
  ):
    self._stack = contextlib.ExitStack()
    self._files: dict[str, TextIO] = {}
    if process:
      return
    folder = self._stack.enter_context(_local(str(workdir)))
    self._files = {
      name: self._stack.enter_context(
        _reopened(folder.path / name, resume_step)
      )
      for name in ('metrics.jsonl', 'completions.jsonl')
    }
    self._folder = folder
    self._events = (
      self._stack.enter_context(_Events(folder.path, resume_step))
      if tensorboard
      else None
    )
    # A log file gets a line per half minute, a terminal a live bar.
    self._bar = self._stack.enter_context(
      tqdm(
        total=total,
        initial=resume_step,
        disable=total is None,
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
        dynamic_ncols=True,
      )
    )

  def log(self, step: int, metrics: Mapping[str, Any]) -> None:
    """Writes one step's metrics: anything that `float` accepts."""
    if not self._files:
      return
    metrics = {name: float(value) for name, value in metrics.items()}
    self._write('metrics.jsonl', {'step': int(step), **metrics})
    if self._events:
      self._events.write(step, metrics)
    postfix = {k: f'{metrics[k]:.4g}' for k in _ON_THE_BAR if k in metrics}
    self._bar.set_postfix(postfix, refresh=False)
    # An evaluation after the last step does not count as a step.
    completed = min(step + 1, self._bar.total or step + 1)
    self._bar.update(completed - self._bar.n)
    self._folder.upload()

  def completions(self, step: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes sampled completions.

    A row has prompt, completion, answer (text), reward (number), and per
    generated token its text in `tokens` and in `latent` the latent share of the
    model's input at its position, 0 to 1.
    """
    if not self._files:
      return
    for row in rows:
      self._write('completions.jsonl', {'step': int(step), **row})

  def close(self) -> None:
    """Closes the files; the last upload of a remote directory."""
    self._stack.close()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def _write(self, name: str, row: Mapping[str, Any]) -> None:
    file = self._files[name]
    try:
      file.write(json.dumps(_plain(row), allow_nan=False) + '\n')
      file.flush()
    except OSError as error:  # the error of a full disk names no file
      error.filename = file.name
      raise


class StepClock:
  """Splits the wall time of a step into named sections, in seconds.

      with clock('decode'):
        trajectory = jax.block_until_ready(sample(...))

  jax dispatches asynchronously: the time of a section that does not wait for
  its result is counted in the next section that does. It also counts the
  programs that jax compiles.
  """

  def __init__(self):
    self._parts: dict[str, int] = {}  # ns, integers so that the sum is exact
    self._open: str | None = None
    self._compiled = compiled = [0]

    def count(event: str, duration_secs: float, **_: Any) -> None:
      compiled[0] += event == _COMPILED

    monitoring.register_event_duration_secs_listener(count)
    weakref.finalize(self, monitoring.unregister_event_duration_listener, count)
    self._start = time.perf_counter_ns()

  @contextlib.contextmanager
  def __call__(self, part: str) -> Iterator[None]:
    """Adds the time inside to `part`. Sections must not be nested."""
    if part in ('idle', 'step'):
      raise ValueError(
        f'part {part!r} is the name of a sum: choose another, such as '
        "'prefill', 'decode', 'reward', 'log_probs', 'update'"
      )
    self._refuse_open(f'clock({part!r})')
    self._open, start = part, time.perf_counter_ns()
    try:
      yield
    finally:
      spent = time.perf_counter_ns() - start
      self._parts[part] = self._parts.get(part, 0) + spent
      self._open = None

  def metrics(self) -> dict[str, float]:
    """{'time/<part>', ..., 'time/idle', 'time/step'} in seconds, and
    'compilations'; then resets.

    `idle` is the time outside all sections. A part of an earlier step that did
    not run in this one is 0. `compilations` are the programs that were compiled
    or read from the compilation cache.
    """
    self._refuse_open('clock.metrics()')
    now = time.perf_counter_ns()
    step, self._start = now - self._start, now
    parts = {**self._parts, 'idle': step - sum(self._parts.values())}
    self._parts = dict.fromkeys(self._parts, 0)
    parts['step'] = step
    compilations, self._compiled[0] = self._compiled[0], 0
    times = {f'time/{name}': ns * 1e-9 for name, ns in parts.items()}
    return times | {'compilations': compilations}

  def _refuse_open(self, call: str) -> None:
    if self._open is not None:
      raise RuntimeError(
        f'{call} inside the section {self._open!r}: time must not be counted '
        'twice, so end that section first'
      )


class _Events:
  """A TensorBoard event file, written without TensorFlow."""

  def __init__(self, folder: Path, resume_step: int):
    # TensorBoard reads the files of a folder in the order of their names, and
    # the system clock may have been set back since the last one.
    before = [path.name for path in folder.glob('events.out.tfevents.*')]
    seconds = [float(x) for name in before for x in _SECONDS.findall(name)]
    now = max([time.time(), *(x + 1e-3 for x in seconds)])
    name = f'events.out.tfevents.{now:017.6f}.{os.getpid()}'
    self._writer = RecordWriter((folder / name).open('wb'))
    self._add(file_version='brain.Event:2')
    # TensorBoard drops the earlier points of this step and later ones.
    restart = _SessionLog(status=_SessionLog.START)
    self._add(step=resume_step, session_log=restart)

  def write(self, step: int, metrics: Mapping[str, float]) -> None:
    values = [_Summary.Value(tag=k, simple_value=v) for k, v in metrics.items()]
    self._add(step=step, summary=_Summary(value=values))

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *error: object) -> None:
    self._writer.close()

  def _add(self, **fields: Any) -> None:
    event = _Event(wall_time=time.time(), **fields)
    self._writer.write(event.SerializeToString())
    self._writer.flush()


class _Folder:
  """A local folder, and the remote one that it mirrors, if any."""

  def __init__(self, path: Path, remote: str | None = None):
    self.path = path
    self._remote = remote
    self._uploaded = time.monotonic()

  def upload(self, every_s: float = _UPLOAD_EVERY_S) -> None:
    if self._remote is None or time.monotonic() - self._uploaded < every_s:
      return
    files, root = fsspec.url_to_fs(self._remote)
    for path in sorted(self.path.iterdir()):
      files.put_file(str(path), f'{root}/{path.name}')
    self._uploaded = time.monotonic()


@contextlib.contextmanager
def _local(workdir: str) -> Iterator[_Folder]:
  """`workdir`, or a local copy of a remote one that is uploaded at the end."""
  if '://' not in workdir:
    path = Path(workdir).expanduser()
    path.mkdir(parents=True, exist_ok=True)
    yield _Folder(path)
    return
  files, root = fsspec.url_to_fs(workdir)
  files.makedirs(root, exist_ok=True)
  with tempfile.TemporaryDirectory() as path:
    for name in ('metrics.jsonl', 'completions.jsonl'):
      if files.exists(f'{root}/{name}'):
        files.get_file(f'{root}/{name}', f'{path}/{name}')
    folder = _Folder(Path(path), workdir)
    yield folder
    folder.upload(every_s=0)


def _reopened(path: Path, resume_step: int) -> TextIO:
  """`path` for appending, without the rows of `resume_step` and later; where
  that is 0, an old file is renamed."""
  kept = []
  torn = 'surrogateescape'  # a crash may leave half a character
  if path.exists() and path.stat().st_size:
    if resume_step == 0:
      now = datetime.now().strftime('%Y%m%dT%H%M%S.%f')
      path.rename(path.with_name(f'{path.name}.until-{now}'))
    else:
      with path.open(encoding='utf-8', errors=torn) as file:
        kept = [line for line in file if _step(line) < resume_step]
  # Replaced in one step: a crash here must not lose the rows.
  part = path.with_name(path.name + '.part')
  part.write_text(''.join(kept), encoding='utf-8', errors=torn)
  part.replace(path)
  return path.open('a', encoding='utf-8')


def _step(line: str) -> float:
  """The step of a row; infinity for a row that a crash left incomplete."""
  try:
    return float(json.loads(line)['step']) if line[-1:] == '\n' else math.inf
  except (ValueError, KeyError, TypeError):
    return math.inf


def _plain(value: Any) -> Any:
  """`value` in JSON types: arrays become lists, NaN and infinities null."""
  if hasattr(value, 'tolist'):
    value = value.tolist()
  if isinstance(value, Mapping):
    return {str(name): _plain(item) for name, item in value.items()}
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
