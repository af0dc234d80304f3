"""What a run has left behind and something has changed: file, line, field."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from experiments.report.page import html_report
from experiments.report.run_folders import progress, run_command, run_info
from experiments.report.tables import read_rows
from experiments.training.rollout_files import StoredBatches
from hybrid_latent.formats import rollouts
from tests.formats.test_rollouts import NOTES, batch

ROW = {'step': 1, 'loss': 0.5}
SAMPLE = {'step': 1, 'prompt': 'x', 'tokens': ['a', 'b'], 'latent': [0.5, None]}

METRICS = {
  'a text for a number': ({'loss': 'x'}, "loss = 'x': accepted is a number or"),
  'a list': ({'loss': [1]}, 'loss = [1]: accepted is a number or null'),
  'an object': ({'a': {'b': 1}}, "a = {'b': 1}: accepted is a number or null"),
  'a step of 40 digits': ({'step': 10**39}, 'step = 1000000'),
}
SAMPLES = {
  'no prompt': ({'prompt': None}, 'prompt = None: accepted is a text'),
  'tokens that are a text': (
    {'tokens': 'x'},
    "tokens = 'x': accepted is a l",
  ),
  'a reward that is a text': (
    {'reward': 'x'},
    "reward = 'x': accepted is a nu",
  ),
  'a latent too few': ({'latent': []}, 'latent has 0 numbers: accepted is one'),
}
ABOUT = {
  'a list': ([], 'holds []: accepted is an object'),
  'a config that is a number': (
    {'config': 3},
    'config = 3: accepted is an o',
  ),
  'a command that is a text': (
    {'command': 'x'},
    "command = 'x': accepted is",
  ),
  'a revision that is a number': ({'revision': 5}, 'revision = 5: accepted is'),
  'steps that are a text': (
    {'config': {'max_steps': 'x'}},
    "config.max_steps = 'x': accepted is a whole number",
  ),
}


def refused(call, name, tried, now):
  with pytest.raises(ValueError) as error:
    call()
  now(name, tried, str(error.value).rpartition('/')[2])
  return str(error.value)


@pytest.mark.parametrize('tried', METRICS)
def test_metrics(tried, tmp_path, now):
  changes, told = METRICS[tried]
  rows = [json.dumps(row) for row in (ROW, ROW | changes)]
  (tmp_path / 'metrics.jsonl').write_text('\n'.join(rows) + '\n')
  read = lambda: read_rows(tmp_path, 'metrics')
  text = refused(read, 'metrics.jsonl', tried, now)
  assert text.startswith(f'{tmp_path}/metrics.jsonl, line 2: {told}')


@pytest.mark.parametrize('tried', SAMPLES)
def test_samples(tried, tmp_path, now):
  changes, told = SAMPLES[tried]
  (tmp_path / 'completions.jsonl').write_text(json.dumps(SAMPLE | changes))
  read = lambda: read_rows(tmp_path, 'completions')
  text = refused(read, 'completions.jsonl', tried, now)
  assert text.startswith(f'{tmp_path}/completions.jsonl, line 1: {told}')


@pytest.mark.parametrize('tried', ABOUT)
def test_the_config_of_a_run(tried, tmp_path, now):
  content, told = ABOUT[tried]
  (tmp_path / 'config.json').write_text(json.dumps(content))
  text = refused(lambda: run_info(str(tmp_path)), 'config.json', tried, now)
  assert text.startswith(f'{tmp_path}/config.json') and told in text


def test_numbers_that_are_not_finite_are_shown(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text(
    '{"step": 0, "loss": 1}\n{"step": 1, "loss": Infinity}\n'
    '{"step": 2, "loss": NaN}\n{"step": 3, "loss": null}\n'
  )
  (tmp_path / 'completions.jsonl').write_text(json.dumps(SAMPLE))
  page = tmp_path / 'page.html'
  html_report(page, title='', intro='', table=[], runs={'a': tmp_path})
  assert page.stat().st_size
  assert (progress(str(tmp_path)), run_command(str(tmp_path))) == (None, '')


ROLLOUTS = {
  'tokens that are floats': (
    lambda x: x.update({'prompt.tokens': x['prompt.tokens'].astype('f4')}),
    {},
    'prompt.tokens has dtype float32',
  ),
  'ids below 0': (
    lambda x: x['trajectory.tokens'].fill(-1),
    {},
    'trajectory.tokens has ids below 0',
  ),
  'notes that are a list': (
    lambda x: None,
    {'notes': '[]'},
    'metadata: notes = []',
  ),
  'rows that are texts': (
    lambda x: None,
    {'notes': '{"rows": ["a", "b"]}'},
    "notes: rows = ['a', 'b']: accepted is a list of",
  ),
}


@pytest.mark.parametrize('tried', ROLLOUTS)
def test_rollouts(tried, tmp_path, now):
  edit, notes, told = ROLLOUTS[tried]
  path = tmp_path / '000000-0.safetensors'
  rollouts.write(path, *batch({'h': np.ones((2, 4))}), NOTES)
  arrays = load_file(path)
  edit(arrays)
  save_file(arrays, path, {'format': rollouts.FORMAT, 'notes': '{}'} | notes)
  read = lambda: next(StoredBatches(tmp_path, 0, 0))
  assert told in refused(read, 'rollouts', tried, now)
