"""The first hour as a script: rows, a reward and a model of one's own, HRPO and
GRPO, Ctrl-C, the same command again, a sweep, a report, an export."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_first_hour(tmp_path, now):
  folder = tmp_path / 'with a space'
  env = {x: os.environ[x] for x in os.environ if x != 'PYTHONPATH'}
  ran = subprocess.run(
    ['bash', str(ROOT / 'examples' / 'first_hour.sh'), str(folder)],
    env={**env, 'PYTHON': sys.executable},
    capture_output=True,
    text=True,
  )
  assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
  assert 'Traceback' not in ran.stderr
  assert 'saved step' in ran.stderr and 'exit code 130' in ran.stderr
  page = (folder / 'compare.html').read_text()
  assert 'hrpo_gsm8k' in page and 'grpo_gsm8k' in page
  assert 'What is 1 + 2?' in ran.stdout  # of transformers' generate
  for seconds, step in re.findall(r'  (\d+) s: (.*)', ran.stdout):
    now("a new user's path", step, f'{seconds} s')
