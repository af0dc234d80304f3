"""Every config in experiments/configs, and the numbers of the paper."""

import importlib
import pkgutil

import ml_collections
import pytest

from experiments import configs
from experiments.configs import grpo_gsm8k, hrpo_gsm8k, rl_arithmetic
from experiments.named import named

ARGUMENTS = {
  'hrpo_gsm8k': ('Qwen/Qwen2.5-1.5B-Instruct', 'smollm2-135m', 'X,smoke'),
  'grpo_gsm8k': ('Qwen/Qwen2.5-1.5B-Instruct', 'smollm2-135m', 'X,smoke'),
  'rl_arithmetic': ('FOLDER,hrpo', 'FOLDER,grpo'),
  'sft_arithmetic': ('FOLDER',),
}
EVERY = [(name, arg) for name, args in ARGUMENTS.items() for arg in args]


def built(name, argument):
  module = importlib.import_module(f'experiments.configs.{name}')
  return module.get_config(argument)


def test_every_config_is_tested():
  modules = pkgutil.iter_modules(configs.__path__)
  assert {module.name for module in modules} == ARGUMENTS.keys()


@pytest.mark.parametrize(('name', 'argument'), EVERY)
def test_a_config_is_locked_plain_and_names_what_exists(name, argument):
  config = built(name, argument)
  assert config.model.source == argument.partition(',')[0]
  assert_locked(config)
  with pytest.raises((AttributeError, KeyError), match='stepz'):
    config.stepz = 3
  assert config.to_json() == built(name, argument).to_json()
  for field, package in (
    ('feedback', 'hybrid_latent.feedback'),
    ('objective', 'hybrid_latent.objectives'),
    ('advantage', 'hybrid_latent.objectives'),
  ):
    if field in config:
      named(config[field].function, package)
  named(config.data.source, 'hybrid_latent.data')


def assert_locked(config):
  assert config.is_locked
  for value in config.values():
    if isinstance(value, ml_collections.ConfigDict):
      assert_locked(value)


@pytest.mark.parametrize('module', [hrpo_gsm8k, grpo_gsm8k, rl_arithmetic])
def test_an_unknown_variant_is_refused(module):
  with pytest.raises(ValueError, match="config argument 'X,smok': write"):
    module.get_config('X,smok')


@pytest.mark.parametrize('module', [hrpo_gsm8k, grpo_gsm8k])
def test_smoke_cuts_the_run(module):
  config = module.get_config('smollm2-135m,smoke')
  assert config.steps == 2
  assert config.rollout.prompts * config.rollout.group == 8
  assert config.rollout.max_tokens == 32
  assert config.eval.prompts == 0
  assert config.checkpoint_every == 1


def test_hrpo_has_the_published_numbers():
  config = hrpo_gsm8k.get_config()
  assert config.model.to_dict() == {
    'source': 'Qwen/Qwen2.5-1.5B-Instruct',
    'dtype': 'bfloat16',
    'param_dtype': 'bfloat16',
    'remat': 'full',
  }
  assert config.lora.to_dict() == {'rank': 32, 'alpha': 64.0}
  rates = {n: g['lr'] for n, g in config.optimizer.groups.to_dict().items()}
  assert rates == {'lora': 5e-6, 'gate': 1e-4, 'decay': 1e-3}
  decays = [g.weight_decay for g in config.optimizer.groups.values()]
  assert decays == [0.1, 0.1, 0.1]
  optimizer = config.optimizer
  assert (optimizer.b1, optimizer.b2, optimizer.clip) == (0.9, 0.99, 0.1)
  assert (optimizer.schedule, optimizer.warmup) == ('cosine', 0.1)
  assert config.objective.kwargs.beta == 0.005
  assert config.advantage.kwargs.eps == 1e-4
  assert config.rollout.sampling.to_dict() == {
    'temperature': 0.5,
    'top_k': 50,
    'top_p': 1.0,
    'min_p': 0.0,
    'greedy': False,
    'score_temperature': 1.0,
  }
  assert (config.rollout.prompts, config.rollout.group) == (8, 4)
  assert (config.steps, config.epochs) == (934, 1)
  assert config.steps == 7473 // 8
  assert config.rollout.delimiter == '####'
  assert config.feedback.initial.to_dict() == {
    'r_min': 0.99,
    'r_max': 0.999,
    'initializer': 'normal',
  }
  assert config.rewards.gsm8k.kwargs.parser == 'official'


def test_grpo_differs_from_hrpo_in_the_feedback_alone():
  ours, theirs = grpo_gsm8k.get_config(), hrpo_gsm8k.get_config()
  differ = {name for name in theirs if ours[name] != theirs[name]}
  assert differ == {'feedback', 'optimizer'}
  assert ours.feedback.function == 'discrete:discrete'
  assert ours.feedback.parameters == ''
  groups = theirs.optimizer.groups.to_dict()
  assert ours.optimizer.groups.to_dict() == {'lora': groups['lora']}
  rest = lambda o: {k: v for k, v in o.to_dict().items() if k != 'groups'}
  assert rest(ours.optimizer) == rest(theirs.optimizer)
