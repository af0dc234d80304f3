"""The files of a run: metrics, sampled completions, and the time per section.

    metrics.jsonl      one JSON object per step, null for non-finite numbers
    completions.jsonl  one JSON object per sampled completion

The metrics also go to trackers (trackers.py), as TensorBoard's events.out.*.
The working directory may be any that fsspec supports (`gs://...`). An object
store cannot append, so there the files grow locally and are uploaded whole, at
most once per minute and at the end.
"""

import contextlib
import importlib
import json
import math
import sys
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TextIO

from jax import monitoring

from hybrid_latent.extras import missing

try:
  import fsspec
  from tqdm import tqdm
except ModuleNotFoundError as error:
  raise missing('train', error.name) from error

_ON_THE_BAR = ('loss', 'reward', 'kl', 'hidden_ratio', 'time/step')
_UPLOAD_EVERY_S = 60.0
_COMPILED = '/jax/core/compile/backend_compile_duration'  # an event of jax


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
    trackers: Sequence[str] = ('tensorboard',),
    process: int = 0,
    resume_step: int = 0,
  ):
    self._stack = contextlib.ExitStack()
    self._files: dict[str, TextIO] = {}
    if process:
      return
    enter = self._stack.enter_context
    folder = enter(_local(str(workdir)))
    self._files = {
      name: enter(_reopened(folder.path / name, resume_step))
      for name in ('metrics.jsonl', 'completions.jsonl')
    }
    self._folder = folder
    # Imported late: a run without trackers needs none of their packages.
    module = importlib.import_module('hybrid_latent.trackers')
    self._trackers = module.open_trackers(
      trackers, folder.path, str(workdir), resume_step
    )
    for tracker in self._trackers:
      self._stack.callback(tracker.close)
    # A log file gets a line per half minute, a terminal a live bar.
    bar = tqdm(
      total=total,
      initial=resume_step,
      disable=total is None,
      mininterval=0.5 if sys.stderr.isatty() else 30.0,
      dynamic_ncols=True,
    )
    self._bar = enter(bar)

  def log(self, step: int, metrics: Mapping[str, Any]) -> None:
    """Writes one step's metrics: anything that `float` accepts."""
    if not self._files:
      return
    metrics = {name: float(value) for name, value in metrics.items()}
    self._write('metrics.jsonl', {'step': int(step), **metrics})
    for tracker in self._trackers:
      tracker.write(int(step), metrics)
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
    rows = [_plain(row) for row in rows]
    for row in rows:
      self._write('completions.jsonl', {'step': int(step), **row})
    for tracker in self._trackers:
      tracker.completions(int(step), rows)

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
    for name in ('metrics.jsonl', 'completions.jsonl', 'run_id'):
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
