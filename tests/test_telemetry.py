import json
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import (
  EventAccumulator,
)

from hybrid_latent.telemetry import StepClock, Telemetry

ROOT = Path(__file__).parents[1]
ROW = {'prompt': '1 + 1', 'tokens': ['2'], 'latent': [0.25], 'reward': 1.0}


def lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_step_is_a_line_on_disk_at_once(tmp_path):
  with Telemetry(tmp_path, trackers=()) as telemetry:
    telemetry.log(0, {'reward': np.float32(0.5), 'kl': float('nan')})
    telemetry.log(1, {'reward': 1, 'kl': float('inf')})
    assert (tmp_path / 'metrics.jsonl').read_text() == (
      '{"step": 0, "reward": 0.5, "kl": null}\n'
      '{"step": 1, "reward": 1.0, "kl": null}\n'
    )


def test_completions_keep_any_text(tmp_path):
  text = 'a\nb\u2028c\ud800"</script>'
  with Telemetry(tmp_path, trackers=()) as telemetry:
    telemetry.completions(
      7, [{**ROW, 'latent': np.array([0.25]), 'text': text}]
    )
  assert lines(tmp_path / 'completions.jsonl') == [
    {'step': 7, **ROW, 'text': text}
  ]


def test_resuming_cuts_off_what_will_be_written_again(tmp_path):
  with Telemetry(tmp_path) as telemetry:
    for step in range(5):
      telemetry.log(step, {'reward': 0.0})
      telemetry.completions(step, [ROW])
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 1, "rew')  # a crash
  with Telemetry(tmp_path, resume_step=3) as telemetry:
    telemetry.log(3, {'reward': 1.0})
  rows = lines(tmp_path / 'metrics.jsonl')
  assert [(r['step'], r['reward']) for r in rows] == [
    *((0, 0.0), (1, 0.0), (2, 0.0), (3, 1.0))
  ]
  samples = lines(tmp_path / 'completions.jsonl')
  assert [r['step'] for r in samples] == [0, 1, 2]


def test_a_run_from_the_start_begins_with_empty_files(tmp_path):
  for _ in range(2):
    with Telemetry(tmp_path, trackers=()) as telemetry:
      telemetry.log(0, {'loss': 2.0})
  assert lines(tmp_path / 'metrics.jsonl') == [{'step': 0, 'loss': 2.0}]


def test_tensorboard_reads_the_curve_over_a_restart(tmp_path):
  with Telemetry(tmp_path) as telemetry:
    for step in range(5):
      telemetry.log(step, {'rewards/accuracy/mean': 0.25})
  with Telemetry(tmp_path, resume_step=3) as telemetry:
    for step in (3, 4):
      telemetry.log(step, {'rewards/accuracy/mean': 0.75})
  events = EventAccumulator(str(tmp_path)).Reload()
  curve = events.Scalars('rewards/accuracy/mean')
  assert [(e.step, e.value) for e in curve] == [
    *((0, 0.25), (1, 0.25), (2, 0.25), (3, 0.75), (4, 0.75))
  ]


def test_tensorflow_is_not_imported_even_if_it_is_there(tmp_path):
  (tmp_path / 'tensorflow.py').write_text('raise SystemExit("imported")')
  code = (
    f'import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n'
    'from hybrid_latent.telemetry import Telemetry\n'
    f'with Telemetry({str(tmp_path)!r}) as t: t.log(0, {{"loss": 1.0}})'
  )
  subprocess.run([sys.executable, '-W', 'error', '-c', code], check=True)
  assert list(tmp_path.glob('events.out.tfevents.*'))


def test_other_processes_write_nothing(tmp_path):
  with Telemetry(tmp_path / 'run', process=1, total=3) as telemetry:
    telemetry.log(0, {'loss': 1.0})
    telemetry.completions(0, [ROW])
  assert not (tmp_path / 'run').exists()


def test_the_bar_counts_steps_and_shows_the_reward(tmp_path, capsys):
  with Telemetry(tmp_path, total=8, resume_step=6) as telemetry:
    telemetry.log(6, {'reward': 0.5, 'other': 1.0})
    telemetry.log(7, {'reward': 0.625, 'other': 1.0})
  shown = capsys.readouterr().err
  assert '8/8' in shown and 'reward=0.625' in shown and 'other' not in shown


def test_a_bucket_is_a_working_directory():
  workdir = 'memory://bucket/run'
  with Telemetry(workdir) as telemetry:
    telemetry.log(0, {'loss': 3.0})
    telemetry.log(1, {'loss': 2.0})
  with Telemetry(workdir, resume_step=1) as telemetry:
    telemetry.log(1, {'loss': 1.0})
  with fsspec.open(f'{workdir}/metrics.jsonl', 'rt') as file:
    rows = [json.loads(line) for line in file]
  assert rows == [{'step': 0, 'loss': 3.0}, {'step': 1, 'loss': 1.0}]
  files = fsspec.filesystem('memory').ls('/bucket/run', detail=False)
  assert sum('tfevents' in name for name in files) == 2


def test_the_parts_of_a_step_sum_to_it():
  clock = StepClock()
  with clock('decode'):
    time.sleep(0.02)
  with clock('update'):
    time.sleep(0.01)
  with clock('decode'):
    time.sleep(0.02)
  time.sleep(0.01)
  times = clock.metrics()
  step, compilations = times.pop('time/step'), times.pop('compilations')
  assert compilations == 0
  assert set(times) == {'time/decode', 'time/update', 'time/idle'}
  assert sum(times.values()) == pytest.approx(step, abs=1e-12)
  assert times['time/decode'] >= 0.04 and times['time/idle'] >= 0.01


def test_a_step_starts_where_the_last_one_ended():
  clock = StepClock()
  with clock('decode'):
    time.sleep(0.01)
  clock.metrics()
  times = clock.metrics()
  assert times['time/decode'] == 0
  assert times['time/step'] == times['time/idle'] < 0.01


def test_the_clock_counts_what_a_step_compiles():
  double, clock = jax.jit(lambda x: 2 * x), StepClock()
  counts = []
  for size in (3, 3, 4):
    with clock('update'):
      double(np.ones(size)).block_until_ready()
    counts.append(clock.metrics()['compilations'])
  assert counts == [1, 0, 1]


def test_a_section_that_raises_is_counted_and_closed():
  clock = StepClock()
  with pytest.raises(KeyError), clock('decode'):
    time.sleep(0.01)
    raise KeyError
  assert clock.metrics()['time/decode'] >= 0.01


def test_a_second_is_counted_once():
  clock = StepClock()
  with clock('decode'):
    inside = pytest.raises(RuntimeError, match="inside the section 'decode'")
    with inside, clock('reward'):
      pass
    with pytest.raises(RuntimeError, match='end that section first'):
      clock.metrics()


@pytest.mark.parametrize('name', ['idle', 'step'])
def test_sums_are_no_sections(name):
  with pytest.raises(ValueError, match=name), StepClock()(name):
    pass
