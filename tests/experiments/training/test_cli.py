"""The command line of a trainer that only tells what it was given, and the
functions that a config names."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments.training.cli import named, resolved
from hybrid_latent.feedback.gated import Gate, gated
from hybrid_latent.rewards.hrpo import gsm8k

pytestmark = pytest.mark.filterwarnings('ignore:the load_module')
ROOT = Path(__file__).parents[3]
TRAINER = (
  'from experiments.training import cli\n'
  'def train(config, workdir):\n'
  '  print("trained", config.max_steps, config.optimizer.groups.gate.lr, '
  'workdir)\n'
  'cli.run(train)\n'
)
FEEDBACK = 'hybrid_latent.feedback'
CONFIG = '--config=experiments/configs/rl_arithmetic.py:FOLDER,hrpo'


def run(*options):
  return subprocess.run(
    [sys.executable, '-c', TRAINER, *options],
    cwd=ROOT,
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Of a run with two fields of its own."""
  folder = tmp_path_factory.mktemp('run')
  result = run(
    *(CONFIG, '--config.max_steps=7', '--config.optimizer.groups.gate.lr=0.5'),
    f'--workdir={folder}',
  )
  assert result.returncode == 0, result.stderr
  assert result.stdout == f'trained 7 0.5 {folder}\n'
  return folder


def test_a_run_keeps_what_it_takes_to_repeat_it(folder):
  about = json.loads((folder / 'config.json').read_text())
  assert about['command'][1:] == [
    *(CONFIG, '--config.max_steps=7', '--config.optimizer.groups.gate.lr=0.5'),
    f'--workdir={folder}',
  ]
  assert re.fullmatch(r'[0-9a-f]{40}\+?|\d[\d.]*', about['revision'])
  assert about['versions']['jax'] == jax.__version__
  path = f'saved:{folder}/config.json'
  again = resolved(path, ['--config.seed=9'])
  first = resolved(CONFIG.partition('=')[2], ['--config.max_steps=7'])
  with first.unlocked():
    first.optimizer.groups.gate.lr, first.seed = 0.5, 9
  assert again == first


def test_what_is_none_takes_a_literal_and_no_code(monkeypatch):
  path = 'experiments/configs/soft_tokens_gsm8k.py:FOLDER,soft'
  assert resolved(path, []).objective.kwargs.clip_range is None
  field = '--config.objective.kwargs.clip_range'
  clipped = resolved(path, [f'{field}=(0.2, 0.3)', '--config.max_steps=3'])
  assert clipped.objective.kwargs.clip_range == (0.2, 0.3)
  assert clipped.max_steps == 3
  with pytest.raises(
    ValueError, match=r"clip_range is 'print\(7\)': write \(a"
  ):
    resolved(path, [f'{field}=print(7)'])


@pytest.mark.parametrize(
  ('options', 'told'),
  [
    ([CONFIG], 'are required: --workdir'),
    (['--workdir=x'], 'are required: --config'),
    (
      [CONFIG, '--workdir=x', 'max_steps=7'],
      "'max_steps=7': write --config.FIELD=VALUE",
    ),
    (
      [CONFIG, '--workdir=x', '--config.max_stepz=7'],
      'config.max_stepz: write config.max_steps',
    ),
    (
      [CONFIG, '--workdir=x', '--config.max_steps=few'],
      "config.max_steps is 'few': write an integer >= 0",
    ),
    (
      [CONFIG.replace('hrpo', 'hrp'), '--workdir=x'],
      "write 'FOLDER,grpo|dr_grpo|",
    ),
  ],
)
def test_a_mistake_is_told_and_nothing_runs(options, told):
  result = run(*options)
  assert result.returncode != 0
  assert told in result.stderr + result.stdout
  assert 'trained' not in result.stdout


def test_a_short_name_is_one_of_the_package():
  assert named('gated:gated', FEEDBACK) is gated
  assert named('gated:Gate', FEEDBACK) is Gate


def test_a_dotted_name_is_any_module(tmp_path, monkeypatch):
  assert named('hybrid_latent.rewards.hrpo:gsm8k', FEEDBACK) is gsm8k
  (tmp_path / 'my_project').mkdir()
  (tmp_path / 'my_project' / 'idea.py').write_text('def feedback(): return 7')
  monkeypatch.syspath_prepend(str(tmp_path))
  assert named('my_project.idea:feedback', FEEDBACK)() == 7


@pytest.mark.parametrize(
  ('spec', 'told'),
  [
    ('gated', "'gated': write 'module:function'; hybrid_latent.feedback has"),
    ('gated:', "'gated:': write 'module:function'"),
    (
      'gate:gated',
      "'gate:gated': no module hybrid_latent.feedback.gate and no module gate ",
    ),
    ('no.such:f', "'no.such:f': no module no.such in "),
    (':f', "':f': write 'module:function'; hybrid_latent.feedback has "),
    (
      'gated:soft',
      "'gated:soft': hybrid_latent.feedback.gated has "
      "['Gate', 'gate', 'gated', 'interpolated', 'mixture']",
    ),
    ('gated:C', "'gated:C': hybrid_latent.feedback.gated has ['Gate', "),
  ],
)
def test_an_unknown_name_lists_what_there_is(spec, told):
  with pytest.raises(ValueError, match=re.escape(told)) as error:
    named(spec, FEEDBACK)
  if 'no module' in told or 'write' in told:
    assert str(error.value).endswith(
      "has ['colar', 'discrete', 'gated', 'gumbel_soft', 'hidden', 'jacobi', "
      "'multiplex', 'prefix', 'projected', 'soft', 'soft_thinking', "
      "'swireasoning', 'switching']"
    )


def test_a_module_that_misses_another_says_which(tmp_path, monkeypatch):
  """Its own error, not ours: the name was right."""
  (tmp_path / 'broken_idea').mkdir()
  (tmp_path / 'broken_idea' / 'idea.py').write_text('import broken')
  monkeypatch.syspath_prepend(str(tmp_path))
  with pytest.raises(ModuleNotFoundError, match="No module named 'broken'"):
    named('broken_idea.idea:f', FEEDBACK)
