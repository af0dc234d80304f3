"""The command line of a trainer that only tells what it was given, and the
functions that a config names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.command import named
from hybrid_latent.feedback.gated import Gate, gated
from hybrid_latent.rewards.hrpo import gsm8k

ROOT = Path(__file__).parents[2]
TRAINER = (
  'from experiments import command\n'
  'def train(config, workdir):\n'
  '  print("trained", config.steps, config.optimizer.groups.gate.lr, workdir)\n'
  'command.run(train)\n'
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


def test_fields_are_set_by_their_names():
  result = run(
    *(CONFIG, '--config.steps=7', '--config.optimizer.groups.gate.lr=0.5'),
    '--workdir=runs/x',
  )
  assert result.returncode == 0, result.stderr
  assert result.stdout == 'trained 7 0.5 runs/x\n'


@pytest.mark.parametrize(
  ('options', 'told'),
  [
    ([CONFIG], 'Flag --workdir must have a value'),
    (['--workdir=x'], 'Flag --config must have a value'),
    ([CONFIG, '--workdir=x', 'steps=7'], "['steps=7']: options begin with --"),
    ([CONFIG, '--workdir=x', '--config.stepz=7'], 'stepz'),
    ([CONFIG, '--workdir=x', '--config.steps=few'], 'invalid literal'),
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
    ('gate:gated', "'gate:gated': no module hybrid_latent.feedback.gate; "),
    ('no.such:f', "'no.such:f': no module no.such; "),
    (':f', "':f': no module hybrid_latent.feedback.; "),
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
      "has ['base', 'discrete', 'gated', 'hidden', 'soft', 'soft_thinking', "
      "'switching']"
    )


def test_a_module_that_misses_another_says_which(tmp_path, monkeypatch):
  """Its own error, not ours: the name was right."""
  (tmp_path / 'broken_idea').mkdir()
  (tmp_path / 'broken_idea' / 'idea.py').write_text('import broken')
  monkeypatch.syspath_prepend(str(tmp_path))
  with pytest.raises(ModuleNotFoundError, match="No module named 'broken'"):
    named('broken_idea.idea:f', FEEDBACK)
