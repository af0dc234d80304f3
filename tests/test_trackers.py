import logging
import sys
import time
from types import ModuleType

import pytest
from tensorboard.backend.event_processing.event_accumulator import (
  EventAccumulator,
)

from hybrid_latent import trackers
from hybrid_latent.telemetry import Telemetry

ROW = {'prompt': '1 + 1', 'tokens': ['2'], 'latent': [0.25], 'reward': 1.0}


def curve(folder, tag='reward'):
  scalars = EventAccumulator(str(folder)).Reload().Scalars(tag)
  return [(e.step, e.value) for e in scalars]


def wandb_like(name: str, **functions) -> ModuleType:
  """A service that fails: the packages themselves never do on one machine."""
  module = ModuleType(name)
  vars(module).update(functions)
  return module


def test_a_tracker_that_fails_is_warned_of_once(tmp_path, monkeypatch, caplog):
  def init(**options):
    raise RuntimeError('no route to host')

  monkeypatch.setitem(sys.modules, 'trackio', wandb_like('trackio', init=init))
  with (
    caplog.at_level(logging.WARNING),
    Telemetry(tmp_path, trackers=('trackio', 'tensorboard')) as telemetry,
  ):
    for step in range(3):
      telemetry.log(step, {'reward': 0.5})
      telemetry.completions(step, [ROW])
  assert [record.getMessage() for record in caplog.records] == [
    'tracker trackio lacks metrics of this run, metrics.jsonl has all: '
    'RuntimeError: no route to host'
  ]
  assert curve(tmp_path) == [(0, 0.5), (1, 0.5), (2, 0.5)]


def test_a_tracker_that_hangs_never_blocks(tmp_path, monkeypatch, caplog):
  sleep = lambda **options: time.sleep(600)
  monkeypatch.setitem(sys.modules, 'trackio', wandb_like('trackio', init=sleep))
  monkeypatch.setattr(trackers, '_CALLS', 4)
  monkeypatch.setattr(trackers, '_CLOSE_S', 0.1)
  start = time.monotonic()
  with Telemetry(tmp_path, trackers=('trackio',)) as telemetry:
    for step in range(8):
      telemetry.log(step, {'reward': 0.5})
  assert time.monotonic() - start < 5
  assert len(caplog.records) == 1


def test_a_package_that_is_missing_ends_no_run(tmp_path, monkeypatch, caplog):
  monkeypatch.setitem(sys.modules, 'wandb', None)
  with Telemetry(tmp_path, trackers=('wandb',)) as telemetry:
    telemetry.log(0, {'reward': 0.5})
  assert 'ModuleNotFoundError' in caplog.text


def test_a_resumed_run_has_its_id(tmp_path):
  path = tmp_path / 'run_id'
  first = trackers._run_id(path, 0)
  assert trackers._run_id(path, 3) == first == path.read_text()
  assert trackers._run_id(path, 0) != first


@pytest.mark.slow
def test_wandb_continues_the_run_offline(tmp_path, monkeypatch):
  wandb = pytest.importorskip('wandb', reason='the extra wandb')
  monkeypatch.setenv('WANDB_MODE', 'offline')
  runs = written_and_resumed(tmp_path / 'sweep' / 'seed0', 'wandb')
  parsed = wandb.proto.wandb_internal_pb2.Record.FromString
  ended, deadline = [], time.monotonic() + 20
  # wandb's own process may write the file after the run.
  while len(ended) < 2 and time.monotonic() < deadline:
    found = [
      parsed(data)
      for path in sorted(runs.glob('wandb/offline-run-*/*.wandb'))
      for data in records(path.read_bytes())
    ]
    ended = [r for r in found if r.WhichOneof('record_type') == 'exit']
  run_id = (runs / 'run_id').read_text()
  named = [r.run for r in found if r.WhichOneof('record_type') == 'run']
  assert {(r.run_id, r.display_name, r.run_group) for r in named} == {
    (run_id, 'seed0', 'sweep')
  }
  history = [
    {i.nested_key[0] if i.nested_key else i.key: i.value_json
     for i in r.history.item}
    for r in found
    if r.WhichOneof('record_type') == 'history'
  ]  # fmt: skip
  rewards = [(x['step'], x['reward']) for x in history if 'reward' in x]
  assert rewards == [('0', '0.25'), ('1', '0.25'), ('1', '0.75')]
  assert sum('completions' in x for x in history) == 3


@pytest.mark.slow
def test_trackio_continues_the_run(tmp_path, monkeypatch):
  monkeypatch.setenv('TRACKIO_DIR', str(tmp_path / 'trackio'))
  trackio = pytest.importorskip('trackio', reason='the extra trackio')
  folder = written_and_resumed(tmp_path / 'sweep' / 'seed0', 'trackio')
  name = f'seed0-{(folder / "run_id").read_text()}'
  runs = trackio.Api().runs('hybrid_latent')
  assert [run.name for run in runs] == [name]
  logs = trackio.sqlite_storage.SQLiteStorage.get_logs('hybrid_latent', name)
  rewards = [(x['step'], x['reward']) for x in logs if 'reward' in x]
  assert rewards == [(0, 0.25), (1, 0.25), (1, 0.75)]
  (table, *_) = [x['completions'] for x in logs if 'completions' in x]
  assert table['_value'][0]['prompt'] == ROW['prompt']


def records(data: bytes) -> list[bytes]:
  """Of a log in LevelDB's format, after wandb's header of seven bytes."""
  found, at, block = [], 7, 2**15
  while at + 7 <= len(data):
    if block - at % block < 7:  # the end of a block has no room for a header
      at += block - at % block
      continue
    size, kind = int.from_bytes(data[at + 4 : at + 6], 'little'), data[at + 6]
    part = data[at + 7 : at + 7 + size]
    if kind in (1, 2):  # whole, or the first part
      found.append(part)
    else:
      found[-1] += part
    at += 7 + size
  return found


def written_and_resumed(folder, tracker):
  for start, reward in (0, 0.25), (1, 0.75):
    with Telemetry(folder, trackers=(tracker,), resume_step=start) as telemetry:
      for step in range(start, 2):
        telemetry.log(step, {'reward': reward, 'kl': float('nan')})
        telemetry.completions(step, [ROW])
  return folder
