"""The command line of a trainer that only tells what it was given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINER = (
  'from experiments import command\n'
  'def train(config, workdir):\n'
  '  print("trained", config.steps, config.optimizer.groups.gate.lr, workdir)\n'
  'command.run(train)\n'
)
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
      [CONFIG.replace('hrpo', 'ppo'), '--workdir=x'],
      "write 'FOLDER,hrpo|grpo'",
    ),
  ],
)
def test_a_mistake_is_told_and_nothing_runs(options, told):
  result = run(*options)
  assert result.returncode != 0
  assert told in result.stderr + result.stdout
  assert 'trained' not in result.stdout
