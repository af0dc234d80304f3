"""The device script, in small: each part runs or says why not, and what was
measured survives what comes after."""

import json
import pkgutil
import sys

import pytest

import hybrid_latent.feedback
from experiments.benchmarks import device
from experiments.benchmarks.device_models import (
  SMALL,
  Unavailable,
  random_model,
)
from experiments.benchmarks.feedbacks import feedbacks

# Modules of hybrid_latent/feedback without a feedback of their own.
NO_FEEDBACK = {'base', 'controls', 'mixtures', 'observed'}


def unavailable():
  raise Unavailable('no GPU')


def failing():
  raise ZeroDivisionError('by nought')


def test_a_part_that_fails_or_is_skipped_ends_no_other(tmp_path, capsys):
  path = tmp_path / 'device.json'
  parts = {
    'one': unavailable,
    'two': failing,
    'three': lambda: {'rows': [{'tokens/s': 1234.567, 'batch': 8}]},
  }
  found = device.run_parts(parts, path, 1e9, {'small': True})
  assert json.loads(path.read_text()) == found
  one, two, three = found['parts'].values()
  assert (one['status'], one['reason']) == ('skipped', 'no GPU')
  assert (two['status'], two['error']) == (
    'failed',
    'ZeroDivisionError: by nought',
  )
  assert three['status'] == 'ok'
  assert device.summary(found).splitlines() == [
    'one: skipped: no GPU',
    'two: failed: ZeroDivisionError: by nought',
    'three: tokens/s 1235, batch 8',
  ]


def test_no_part_begins_once_the_budget_is_spent(tmp_path):
  parts = {'one': dict, 'two': failing}
  found = device.run_parts(parts, tmp_path / 'device.json', 0.0, {})
  assert {line['status'] for line in found['parts'].values()} == {'skipped'}


def test_what_was_measured_survives_a_kill(tmp_path):
  path = tmp_path / 'device.json'
  with pytest.raises(KeyboardInterrupt):
    device.run_parts({'one': dict, 'two': interrupted}, path, 1e9, {})
  assert json.loads(path.read_text())['parts']['one']['status'] == 'ok'


def interrupted():
  raise KeyboardInterrupt


def test_it_measures_every_feedback():
  modules = {
    m.name for m in pkgutil.iter_modules(hybrid_latent.feedback.__path__)
  }
  names = feedbacks(random_model(SMALL.model, 'float32'), start=1)
  assert modules - NO_FEEDBACK <= names.keys()


def test_an_unknown_part_is_named(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['device', '--parts=decode,speed'])
  with pytest.raises(SystemExit, match='2'):
    device.main()
  told = capsys.readouterr().err
  assert "--parts: 'decode,speed': write a tuple of values, each 'env" in told


@pytest.mark.slow
def test_everything_in_small(tmp_path, monkeypatch, capsys):
  path = tmp_path / 'device.json'
  monkeypatch.setattr(
    sys, 'argv', ['device', '--small', f'--out={path}', '--budget_s=1e9']
  )
  device.main()
  found = json.loads(path.read_text())
  parts = found['parts']
  assert {'device', 'jax', 'revision', 'date'} <= found['about'].keys()
  assert {name: part['status'] for name, part in parts.items()} == {
    **dict.fromkeys(device.PARTS, 'ok'),
    'attention': 'skipped',
  }
  assert 'cuDNN needs a GPU' in parts['attention']['reason']
  rows = parts['agreement']['rows']
  names = {row['feedback'] for row in rows}
  assert {(row['feedback'], row['dtype']) for row in rows} == {
    (name, dtype) for name in names for dtype in ('float32', 'bfloat16')
  }
  # Of random choices: a rollout that chose nothing would agree as well.
  limits = {'float32': 1e-4, 'bfloat16': 0.05}
  assert all(0 < row['max'] < limits[row['dtype']] for row in rows)
  assert [row['batch'] for row in parts['decode']['rows']] == [1, 2]
  assert all(row['temp_bytes'] > 0 for row in parts['decode']['rows'])
  assert {row['feedback'] for row in parts['feedbacks']['rows']} == names
  (update,) = parts['update']['rows']
  assert update['tokens/s'] > 0 and update['MFU'] is None  # no data sheet
  assert f'{path}: all numbers' in capsys.readouterr().out
