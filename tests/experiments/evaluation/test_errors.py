"""Evaluations that cannot be, refused before a model is loaded."""

import re
from argparse import Namespace

import pytest

from experiments import evaluate
from tests.experiments import ways_tiny


@pytest.fixture(scope='module')
def config(model_folder):
  config = ways_tiny.get_config(str(model_folder))
  config.mesh.update(fsdp=2, tensor=2)
  config.evaluate.reasoners = ('some=folder',)
  return config


WRONG = [
  ({'eval.num_prompts': 0}, 'config.eval.num_prompts=0: write the num'),
  (
    {'evaluate.modes': ('loud',)},
    "config.evaluate.modes is ('loud',): write a tuple of values, each "
    "'chain_of_thought', 'no_thinking' or 'latent'",
  ),
  (
    {'evaluate.modes': ('latent',), 'evaluate.reasoners': ()},
    "reasoners=(), modes=('latent',), feedbacks=('',): write a model and a",
  ),
  (
    {'evaluate.base': False, 'evaluate.reasoners': ()},
    'config.evaluate: base=False, models=(), reasoners=()',
  ),
  (
    {'evaluate.feedbacks': ('a: soft; seed=3',)},
    "config.evaluate.feedbacks, 'a: soft; seed=3': 'seed=3' is no field below "
    "one of ['feedback.', 'rollout.', 'eval.sampling.']",
  ),
  (
    {'evaluate.feedbacks': ('a: soft; feedback.init_kwargs.tau=3',)},
    'has no field config.feedback.init_kwargs.tau',
  ),
  (
    {'evaluate.feedbacks': ('loud',)},
    "config.evaluate.feedbacks, 'loud': config.feedback.function: 'loud:loud': "
    'no module',
  ),
  (
    {'evaluate.feedbacks': ('a: discrete', 'a: hidden')},
    "two arms are named 'base/a/chain_of_thought/10'",
  ),
  (
    {'evaluate.datasets': ('gsm9k',)},
    "config.evaluate.datasets, 'gsm9k': benchmark='gsm9k': accepted is one of",
  ),
  (
    {'evaluate.datasets': ('gsm8k=nowhere',)},
    "config.evaluate.datasets, 'gsm8k=nowhere': nowhere has neither",
  ),
  (
    {'evaluate.budgets': (8, 4)},
    'budgets=(8, 4), config.evaluate.answer_reserve=4: write budgets above a',
  ),
  (
    {'rollout.forced_text.no_thinking': ''},
    "config.rollout.forced_text.no_thinking='': write the text",
  ),
  (
    {'evaluate.reasoners': ('a=b', 'a=c')},
    "config.evaluate.reasoners has 'a=c': write a name that is not one "
    "of ['base', 'a']",
  ),
  (
    {'evaluate.models': ('folder',)},
    "config.evaluate.models is ('folder',): write a tuple of values, each NAME",
  ),
  (
    {'eval.num_prompts': 1, 'evaluate.controls': ('other_problem',)},
    "config.evaluate.controls has 'other_problem', and arithmetic one problem",
  ),
  (
    {'feedback.function': 'discrete:discrete', 'eval.num_generations': 1},
    "config.feedback.function='discrete:discrete': write a feedback",
  ),
]


@pytest.mark.parametrize(('fields', 'message'), WRONG)
def test_a_config_that_cannot_be(fields, message, config, tmp_path):
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.update_from_flattened_dict(fields)
  kinds = ValueError, FileNotFoundError
  with pytest.raises(kinds, match=re.escape(message)):
    evaluate.evaluate(config, str(tmp_path))
  assert not [*tmp_path.iterdir()]


def test_prompts_that_are_all_too_long(config, tmp_path):
  config = config.copy_and_resolve_references()
  config.rollout.max_prompt_length = 3
  message = r'max_prompt_length is 3, and each of the \d+ prompts is longer'
  with pytest.raises(ValueError, match=message):
    evaluate.evaluate(config, str(tmp_path))


def test_a_run_keeps_its_own_prompts_and_limits(tmp_path, capsys):
  """What would be ignored is refused, and a run without checkpoints named."""
  for name in 'done', 'dead':
    (tmp_path / name).mkdir()
    (tmp_path / name / 'config.json').write_text('{"config": {}}')
  (tmp_path / 'done/checkpoints').mkdir()

  def options(*overrides):
    return evaluate.options_of(
      Namespace(runs=[str(tmp_path)], config='', overrides=overrides)
    )

  assert '--config.evaluate.data_dir=' in options('--config.seed=3')
  assert f'--runs: {tmp_path}/dead left out' in capsys.readouterr().err
  assert options('--config.rollout.num_generations=4')
  for name in 'rollout.max_prompt_length', 'data.system_prompt', 'model.source':
    with pytest.raises(ValueError, match=f'each run has its own {name}: write'):
      options(f'--config.{name}', '3')


def test_a_file_of_another_benchmark_is_named(config, tmp_path):
  config = config.copy_and_resolve_references()
  file = tmp_path / 'own.jsonl'
  file.write_text('{"q": "1+1?", "a": "2"}\n')
  config.evaluate.datasets = (f'gsm8k={file}',)
  message = (
    rf"config.evaluate.datasets, 'gsm8k={file}': .*row 1: .*: write a file "
    r"with the fields \['answer', 'question'\]"
  )
  with pytest.raises(ValueError, match=message):
    evaluate.evaluate(config, str(tmp_path / 'eval'))


def test_runs_need_checkpoints_and_an_evaluation_a_config(tmp_path):
  (tmp_path / 'config.json').write_text('{"config": {}}')
  for flags, message in (
    (
      Namespace(runs=[str(tmp_path)], config=''),
      'no run there has checkpoints',
    ),
    (Namespace(runs=None, config=None), '--config: write a config, or --runs'),
  ):
    with pytest.raises(ValueError, match=message):
      evaluate.options_of(flags)
