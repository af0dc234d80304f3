"""Experiment trackers: TensorBoard, wandb and trackio behind one interface.

A tracker gets the metrics of every step, and wandb and trackio also the sampled
completions, as a table. Each has a thread of its own, so that one that waits
for a network never blocks the run; one that fails is warned of once and gets
nothing more. The run has the name and the group of the last two folders of its
working directory. Its id is in the file `run_id` there, so that a run that
resumes continues the one that the tracker has.
"""

import importlib
import json
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from hybrid_latent.extras import missing

try:
  import fsspec
except ModuleNotFoundError as error:
  raise missing('train', error.name) from error

_log = logging.getLogger(__name__)
_CALLS = 1000  # that may wait for a tracker
_CLOSE_S = 60.0  # to send what still waits


class Tracker(Protocol):
  """What gets the metrics of a run."""

  def write(self, step: int, metrics: Mapping[str, float]) -> None:
    """Takes the metrics of a step."""
    ...

  def completions(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Takes sampled completions, the rows of Telemetry.completions."""
    ...

  def close(self) -> None:
    """Sends what is left."""
    ...


def open_trackers(
  names: Sequence[str], folder: Path, workdir: str, resume_step: int
) -> list[Tracker]:
  """The trackers of these names: 'tensorboard', 'wandb', 'trackio'.

  Args:
    names: of the trackers.
    folder: the local folder of the run, for its id and TensorBoard's file.
    workdir: the working directory, which may be remote.
    resume_step: the first step to be written; TensorBoard, and no other, drops
      the points from it on. 0 begins a new run.
  """
  run_id = _run_id(folder / 'run_id', resume_step) if names else ''

  def opened(name: str) -> Tracker:
    if name == 'tensorboard':
      return _TensorBoard(folder, resume_step)
    return _Wandb(name, workdir, run_id)

  return [_Background(name, partial(opened, name)) for name in names]


class _Background:
  """A tracker on a thread of its own, from its opening to its end."""

  def __init__(self, name: str, opened: Callable[[], Tracker]):
    self._name, self._opened, self._warned = name, opened, False
    self._calls: queue.Queue[Callable[[Tracker], None] | None]
    self._calls = queue.Queue(_CALLS)
    self._thread = threading.Thread(target=self._run, daemon=True)
    self._thread.start()

  def write(self, step: int, metrics: Mapping[str, float]) -> None:
    self._call(lambda tracker: tracker.write(step, metrics))

  def completions(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
    self._call(lambda tracker: tracker.completions(step, rows))

  def close(self) -> None:
    self._call(None)
    self._thread.join(_CLOSE_S)
    if self._thread.is_alive():
      self._warn(f'did not end within {_CLOSE_S:.0f} s')

  def _call(self, call: Callable[[Tracker], None] | None) -> None:
    try:
      self._calls.put_nowait(call)
    except queue.Full:
      self._warn(f'has not taken the last {_CALLS} calls')

  def _run(self) -> None:
    try:
      tracker = self._opened()
      while call := self._calls.get():
        call(tracker)
      tracker.close()
    except Exception as error:  # whatever a service raises
      self._warn(f'{type(error).__name__}: {error}')

  def _warn(self, what: str) -> None:
    if not self._warned:
      text = 'tracker %s lacks metrics of this run, metrics.jsonl has all: %s'
      _log.warning(text, self._name, what)
    self._warned = True


class _TensorBoard:
  """An event file, written by tensorboardX."""

  def __init__(self, folder: Path, resume_step: int):
    files = importlib.import_module('tensorboardX.event_file_writer')
    protos = 'tensorboardX.proto'
    self._event = importlib.import_module(f'{protos}.event_pb2')
    self._summary = importlib.import_module(f'{protos}.summary_pb2').Summary
    # Its name has the second: two in one second must differ, in this order.
    suffix = f'.{time.time_ns()}'
    self._writer = files.EventsWriter(str(folder / 'events'), suffix)
    # TensorBoard drops the earlier points of this step and later ones.
    log = self._event.SessionLog
    self._add(step=resume_step, session_log=log(status=log.START))

  def write(self, step: int, metrics: Mapping[str, float]) -> None:
    value = self._summary.Value
    values = [value(tag=k, simple_value=v) for k, v in metrics.items()]
    self._add(step=step, summary=self._summary(value=values))

  def completions(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """TensorBoard has no tables."""

  def close(self) -> None:
    self._writer.close()

  def _add(self, **fields: Any) -> None:
    event = self._event.Event(wall_time=time.time(), **fields)
    self._writer.write_event(event)
    self._writer.flush()


class _Wandb:
  """A run of wandb, or of trackio, which has wandb's interface."""

  def __init__(self, name: str, workdir: str, run_id: str):
    self._module = importlib.import_module(name)
    self._is_wandb = name == 'wandb'
    remote = '://' in workdir
    path = workdir.rstrip('/') if remote else os.path.abspath(workdir)
    group, run = path.split('/')[-2:]
    options: dict[str, Any] = {}
    if self._is_wandb:
      settings = self._module.Settings(console='off', login_timeout=30)
      options = {'id': run_id, 'settings': settings}
      options['dir'] = None if remote else path
    else:  # trackio resumes by name
      run = f'{run}-{run_id}'
    self._run = self._module.init(
      name=run,
      group=group or None,
      project=os.environ.get(f'{name.upper()}_PROJECT', 'hybrid_latent'),
      config=_config(workdir),
      resume='allow',
      **options,
    )
    if self._is_wandb:  # its own steps never decrease, those of a rollback do
      self._run.define_metric('*', step_metric='step')

  def write(self, step: int, metrics: Mapping[str, float]) -> None:
    self._log(step, metrics)

  def completions(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = [*dict.fromkeys(name for row in rows for name in row)]
    cell = lambda x: x if isinstance(x, float | int | str) else json.dumps(x)
    data = [[cell(row.get(name)) for name in columns] for row in rows]
    table = self._module.Table(columns=columns, data=data)
    self._log(step, {'completions': table})

  def close(self) -> None:
    self._run.finish()

  def _log(self, step: int, values: Mapping[str, Any]) -> None:
    if self._is_wandb:
      self._run.log({**values, 'step': step})
    else:
      self._run.log({**values}, step=step)


def _run_id(path: Path, resume_step: int) -> str:
  """The id of the run; a new one where it starts at step 0."""
  if not (resume_step and path.exists()):
    part = path.with_name(path.name + '.part')
    part.write_text(secrets.token_hex(4))
    part.replace(path)
  return path.read_text()


def _config(workdir: str) -> dict[str, Any]:
  """The config in WORKDIR/config.json; empty where there is none."""
  files, root = fsspec.url_to_fs(workdir)
  path = f'{root}/config.json'
  if not files.exists(path):
    return {}
  return json.loads(files.cat_file(path))['config']
