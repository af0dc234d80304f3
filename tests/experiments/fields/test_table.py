"""The table of fields beside every config that there is."""

from pathlib import Path
from typing import get_args

import pytest

from experiments.configs import rl_arithmetic
from experiments.fields.accepted import accepts, described
from experiments.fields.check import check
from experiments.fields.functions import ROLES
from experiments.fields.help import markdown
from experiments.fields.named import named
from experiments.fields.overrides import leaves, resolved
from experiments.fields.table import FIELDS, field_of, function_of, matches
from hybrid_latent.objectives import aggregation, kl, ratio
from tests.experiments.test_configs import EVERY, OTHERS, TAUGHT, TUNED, built

ROOT = Path(__file__).parents[3]
CONFIGS = [
  *((name, f'MODEL{words}') for name, words in EVERY + TAUGHT + TUNED),
  *((name, argument) for name, some in OTHERS.items() for argument in some),
  *(('rl_arithmetic', f'FOLDER,{name}') for name in rl_arithmetic.METHODS),
]
ALL = [(name, built(name, argument)) for name, argument in CONFIGS]


def test_every_field_has_an_entry_that_its_value_suits():
  for name, config in ALL:
    for field, value in leaves(config):
      if not function_of(field) and field != 'optimizer.groups':
        entry = field_of(field)
        assert entry, f'{name}: {field}'
        told = f'{name}: {field}={value!r}: {described(entry.annotation)}'
        assert accepts(entry.annotation, value), told


def test_every_entry_is_of_a_field():
  used = {field for _, config in ALL for field, _ in leaves(config)}
  used |= {function_of(field)[0] for field in used if function_of(field)}
  unused = [x for x in FIELDS if not any(matches(field, x) for field in used)]
  # That an evaluation may draw otherwise than a rollout, no config needs.
  assert {x.rpartition('.')[0] for x in unused} <= {'eval.sampling'}


def test_every_entry_says_what_it_means_in_a_sentence():
  for field, (annotation, about) in FIELDS.items():
    assert about[0].isupper() or about.startswith('problems('), field
    assert about.endswith('.') and '. ' not in about.rstrip('.'), field
    assert described(annotation), field


def test_functions_are_named_by_fields():
  assert not [field for field in ROLES if field not in FIELDS]


@pytest.mark.parametrize(
  ('command', 'configs'), [('grpo', EVERY), ('sft', TAUGHT), ('lrt', TUNED)]
)
def test_every_config_passes_its_own_check(command, configs):
  """Where the answers are to be given, the folder of them is."""
  for name, words in configs:
    for smoke in '', ',smoke':
      given = ['--config.data.sft_answers_dir=F'] * (words in ('', ',sft'))
      given *= command == 'lrt'
      check(resolved(f'{name}:MODEL{words}{smoke}', given), command)


@pytest.mark.parametrize('method', rl_arithmetic.METHODS)
def test_every_method_on_arithmetic_passes(method):
  check(resolved(f'rl_arithmetic:FOLDER,{method}', []), 'grpo')


@pytest.mark.parametrize(
  ('literal', 'options'),
  [
    (aggregation.Aggregation, aggregation.AGGREGATIONS),
    (kl.Estimator, kl.ESTIMATORS),
    (FIELDS['reward_kl.estimator'].annotation, kl.ESTIMATORS),
    (ratio.Level, ratio.LEVELS),
    (ratio.Correction, ratio.CORRECTIONS),
  ],
)
def test_what_a_signature_says_is_what_there_is(literal, options):
  assert {*get_args(literal)} == options.keys()


def test_the_table_in_docs_is_current():
  """Else write `python -m experiments.fields > docs/config.md`."""
  assert (ROOT / 'docs' / 'config.md').read_text() == markdown()


def test_a_source_of_rows_takes_what_it_knows(tmp_path, monkeypatch):
  (tmp_path / 'my_data.py').write_text('def problems(split): return []\n')
  monkeypatch.syspath_prepend(str(tmp_path))
  assert named('my_data:problems', 'hybrid_latent.data')('train') == []
  check(
    resolved('rl:MODEL', ['--config.data.function=my_data:problems']), 'grpo'
  )


@pytest.mark.parametrize(
  ('command', 'path', 'told'),
  [
    ('grpo', 'coconut_gsm8k:M', 'a config of python -m experiments.sft and'),
    ('sft', 'grpo_gsm8k:M', 'a config of python -m experiments.grpo and'),
    ('step_entropy', 'rl:M', 'a config of python -m experiments.grpo and has'),
  ],
)
def test_a_config_of_another_command(command, path, told):
  with pytest.raises(ValueError, match=told):
    check(resolved(path, []), command)


def test_a_keyword_of_a_reward_is_a_named_parameter(tmp_path, monkeypatch):
  (tmp_path / 'my_reward.py').write_text(
    'def short(completions, penalty=1.0, **columns): ...\n'
  )
  monkeypatch.syspath_prepend(str(tmp_path))
  options = [
    '--config.rewards.mine.function=my_reward:short',
    '--config.rewards.mine.kwargs.{}=2',
  ]
  resolved('rl:M', [x.format('penalty') for x in options])
  with pytest.raises(ValueError, match=r'write config\.rewards\.mine\.kwargs'):
    resolved('rl:M', [x.format('penlty') for x in options])
  config = resolved('rl:M', options[:1])
  with config.unlocked():
    config.rewards.mine.kwargs.penlty = 2
  with pytest.raises(ValueError, match='write penalty'):
    check(config, 'grpo')
