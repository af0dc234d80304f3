"""Which runs a person means, and what their folders say."""

import json

import pytest

from experiments.report.run_folders import (
  config_differences,
  config_fields,
  find_runs,
  module_of,
  progress,
  run_command,
)
from experiments.report.tables import read_rows


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ('a', 'b,c', 's/cells/r_min=0.9,seed=0', 's/cells/x y', 'b', 'c'):
    run = tmp_path / name
    run.mkdir(parents=True)
    (run / 'metrics.jsonl').write_text('{"step": 0, "loss": 1.0}\n')
  (tmp_path / 'jax_cache').mkdir()
  return tmp_path


CELLS = {
  'r_min=0.9,seed=0': 's/cells/r_min=0.9,seed=0',
  'x y': 's/cells/x y',
}


@pytest.mark.parametrize(
  ('names', 'runs'),
  [
    (['a'], {'a': 'a'}),
    (['a/'], {'a': 'a'}),
    (['a,b'], {'a': 'a', 'b': 'b'}),
    (['a,b,'], {'a': 'a', 'b': 'b'}),
    (['b,c'], {'b,c': 'b,c'}),
    (['a', 'b', 'a'], {'a': 'a', 'b': 'b'}),
    (['s'], CELLS),
    (['s/cells'], CELLS),
    (['s/cells/*'], CELLS),
    (['s/cells/r_min=0.9,seed=0,s/cells/x y'], CELLS),
    (
      ['s/*/r_min=*,seed=[01]'],
      {'r_min=0.9,seed=0': CELLS['r_min=0.9,seed=0']},
    ),
    (['a', 's/cells/*x*'], {'a': 'a', 'x y': CELLS['x y']}),
    (['.'], {'a': 'a', 'b': 'b', 'b,c': 'b,c', 'c': 'c'} | CELLS),
  ],
)
def test_what_a_name_means(folder, names, runs):
  assert find_runs(names) == runs


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
  monkeypatch.setenv('HOME', str(folder))
  assert find_runs(['~/a,~/s/cells/x*']) == {
    'a': f'{folder}/a',
    'x y': f'{folder}/s/cells/x y',
  }


def test_the_same_last_name_twice_is_the_whole_path(folder):
  assert find_runs(['a', str(folder / 'a')]) == {
    'a': 'a',
    str(folder / 'a'): str(folder / 'a'),
  }


@pytest.mark.parametrize(
  'name', ['nothing', '', 'jax_cache', 'z*', 'a,nothing']
)
def test_what_is_no_run_is_named(folder, name):
  word = name.rpartition(',')[2]
  with pytest.raises(FileNotFoundError, match='has no run: write') as error:
    find_runs([name])
  assert repr(word) in str(error.value)


def test_commas_that_can_be_read_in_two_ways_are_refused(folder):
  with pytest.raises(ValueError, match='write --runs once for each'):
    find_runs(['a,b,c'])


@pytest.mark.parametrize(
  ('script', 'module'),
  [
    ('/x/experiments/grpo.py', 'experiments.grpo'),
    ('/x/experiments/studies/hyrea.py', 'experiments.studies.hyrea'),
    ('/experiments/x/experiments/sweep/__main__.py', 'experiments.sweep'),
    ('/my_experiments/grpo.py', ''),
    ('/x/bin/pytest', ''),
  ],
)
def test_the_module_that_a_script_is(script, module):
  assert module_of(script) == module


def test_a_folder_says_what_was_run(tmp_path):
  config = {'max_steps': 3, 'seed': 1, 'data': {'path': 'my data'}}
  command = ['/x/experiments/grpo.py', '--config.data.path=my data']
  about = {'config': config, 'command': command}
  (tmp_path / 'config.json').write_text(json.dumps(about))
  run = str(tmp_path)
  assert run_command(run) == (
    "python -m experiments.grpo '--config.data.path=my data'"
  )
  assert config_fields(run) == {
    'max_steps': 3,
    'seed': 1,
    'data.path': 'my data',
  }
  assert progress(run) == '0 of 3 steps'
  metrics = tmp_path / 'metrics.jsonl'
  metrics.write_text('{"step": 1, "loss": null}\n{"step": 2, "lo')
  assert progress(run) == '2 of 3 steps'  # the last line is being written
  metrics.write_text('{"step": 2, "loss": 1}\n')
  assert progress(run) == 'finished'
  for text in ('{"step": 1}\nnot\n{"step": 2}\n', '[1]\n', '{"a": 1}\n'):
    metrics.write_text(text)
    with pytest.raises(ValueError, match=r'metrics\.jsonl, line [12] is no'):
      read_rows(run, 'metrics')
  metrics.unlink()
  (tmp_path / 'config.json').write_text('{')
  with pytest.raises(ValueError, match=r'config\.json is no JSON'):
    progress(run)


def test_configs_are_compared_field_by_field():
  a, b = {'seed': 0, 'x': None, 'same': 1}, {'seed': 1, 'same': 1}
  assert config_differences({'a': a, 'b': b}) == {
    'seed': ['0', '1'],
    'x': ['None', '–'],
  }
