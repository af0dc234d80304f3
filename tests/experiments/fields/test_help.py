"""The text of `--help`."""

import pytest

from experiments.fields.help import configs_text, fields_text, trainer_of
from experiments.fields.overrides import CONFIGS, kind_of, load_config
from tests.experiments.test_configs import EVERY, TAUGHT, TUNED

TRAINERS = {'grpo': EVERY, 'sft': TAUGHT, 'lrt': TUNED}


@pytest.mark.parametrize('trainer', TRAINERS)
def test_a_trainer_lists_the_configs_that_it_runs(trainer):
  for name, _ in TRAINERS[trainer]:
    assert trainer_of(name) == trainer
  stems = [
    line.split()[0]
    for line in configs_text(trainer).splitlines()[1:]
    if line[2] != ' '
  ]
  assert {name for name, _ in TRAINERS[trainer]} <= {*stems}


def test_other_commands_list_the_configs_of_each_trainer():
  text = configs_text('generate')
  assert [x for x in text.splitlines() if x.startswith('configs')] == [
    f'configs of {trainer}:' for trainer in ('grpo', 'sft', 'lrt')
  ]
  for path in CONFIGS.glob('[a-z]*.py'):
    assert text.count(f'\n  {path.stem} ') == 1


@pytest.mark.parametrize('path', ['rl', 'sft', 'lrt', 'ppo_gsm8k'])
def test_every_field_has_a_sentence_and_what_it_accepts(path):
  config = load_config(path)
  text = fields_text(path, config)
  for paragraph in text.split('\n  --config.')[1:]:
    name, _, about = paragraph.partition('\n')
    assert 'Keyword of' not in about or 'rl' not in path, name
    about = ' '.join(about.split())
    assert ' Accepts ' in about or '. Type: ' in about, name
  assert kind_of(config) != 'rl' or (
    "The mean over tokens and rows, see aggregation.py; 'constant' takes a "
    '`length`.'
  ) in ' '.join(text.split())
