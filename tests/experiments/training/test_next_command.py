"""What a tool says is to be written next."""

import shlex
import sys
from pathlib import Path

import pytest

from experiments.training.cli import resolved
from experiments.training.next_command import next_command

# Of ml_collections, where it loads a config file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

CONFIGS = Path(__file__).parents[3] / 'experiments/configs'
LRT = f'{CONFIGS}/lrt_gsm8k.py:/my models/M'
TRIPLES = '--config.data.sft_answers_dir=runs/t'


def ran(monkeypatch, tool, *options):
  monkeypatch.setattr(sys, 'argv', [f'/x/experiments/{tool}.py', *options])


def test_it_is_a_command_that_a_shell_and_the_config_read(monkeypatch):
  ran(
    *(monkeypatch, 'generate', f'--config={LRT},words', '--workdir=runs/t'),
    *('--config.data.path=my data', '--config.generate.num_generations=2'),
  )
  command = next_command('generate', 'lrt', TRIPLES, stage='sft')
  words = shlex.split(command)
  assert words == [
    *('python', '-m', 'experiments.lrt', '--workdir=runs/lrt'),
    *(f'--config={LRT},sft', '--config.data.path=my data', TRIPLES),
  ]
  config = resolved(words[4].removeprefix('--config='), words[5:])
  assert (
    config.data.sft_answers_dir == 'runs/t' and config.data.path == 'my data'
  )


@pytest.mark.parametrize(
  ('tool', 'config'),
  [
    ('pytest', f'{LRT},words'),  # not this command
    ('generate', f'{CONFIGS}/hyrea_rl_math.py:M,words'),  # has no such stage
    ('generate', f'{CONFIGS}/rl.py:M'),
  ],
)
def test_there_is_none_where_it_could_not_run(monkeypatch, tool, config):
  ran(monkeypatch, tool, f'--config={config}')
  assert next_command('generate', 'lrt', TRIPLES, stage='sft') == ''


def test_the_cold_start_follows_the_entropies(monkeypatch):
  config = f'{CONFIGS}/hyrea_sft_math.py:M,smoke'
  ran(monkeypatch, 'entropy', f'--config={config}', '--config.data.path=N')
  assert next_command('entropy', 'sft', '--config.data.step_entropy_dir=s') == (
    f'python -m experiments.sft --workdir=runs/sft --config={config} '
    '--config.data.path=N --config.data.step_entropy_dir=s'
  )
