"""Every config in experiments/configs, and the numbers of the papers."""

import importlib
import pkgutil

import ml_collections
import numpy as np
import pytest

from experiments import configs
from experiments.command import named
from experiments.configs import grpo_gsm8k, hrpo_gsm8k

# Config -> what may follow the model, one of each kind.
WORDS = {
  'rl': [''],
  'hrpo_gsm8k': ['', ',interpolated', ',direct'],
  'hrpo_math': ['', ',direct'],
  'hrpo_mmlu': ['', ',interpolated'],
  'hrpo_knowledge': [''],
  'soft_tokens_gsm8k': ['', ',soft', ',hard'],
  'soft_tokens_math': ['', ',soft'],
  'soft_tokens_deepscaler': ['', ',hard'],
  'hyrea_rl_math': ['', ',easyr1', ',words', ',easyr1,words'],
  'grpo_gsm8k': [
    *('', ',official', ',dr_grpo', ',gspo'),
    *(',official,dr_grpo', ',official,gspo'),
  ],
  'rloo_gsm8k': ['', ',official'],
  'ppo_gsm8k': ['', ',official'],
  'dapo_gsm8k': ['', ',official'],
  'shorter_better_gsm8k': [''],
  'lc_r1_gsm8k': [''],
  'soft_thinking_gsm8k': ['', ',mixing', ',stop_only'],
}
OTHERS = {
  'rl_arithmetic': ['FOLDER,hrpo', 'FOLDER,grpo'],
  'sft_arithmetic': ['FOLDER'],
}
EVERY = [(name, words) for name, some in WORDS.items() for words in some]
MODELS = [
  'smollm2-135m',
  *(f'HuggingFaceTB/SmolLM2-{n}-Instruct' for n in ('135M', '360M', '1.7B')),
  *(
    f'Qwen/Qwen2.5-{n}-Instruct'
    for n in ('0.5B', '1.5B', '3B', '7B', '14B', '32B')
  ),
  *(f'Qwen/Qwen3-{n}' for n in ('0.6B', '1.7B', '4B', '8B', '14B', '32B')),
  *(f'meta-llama/Llama-3.2-{n}-Instruct' for n in ('1B', '3B')),
  'meta-llama/Llama-3.1-8B-Instruct',
  'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B',
]


def module_of(name):
  return importlib.import_module(f'experiments.configs.{name}')


def built(name, argument):
  return module_of(name).get_config(argument)


def test_every_config_is_tested():
  modules = pkgutil.iter_modules(configs.__path__)
  assert {module.name for module in modules} == WORDS.keys() | OTHERS.keys()


@pytest.mark.parametrize(
  ('name', 'argument'),
  [
    *((name, f'smollm2-135m{words}') for name, words in EVERY),
    *((name, argument) for name, some in OTHERS.items() for argument in some),
  ],
)
def test_a_config_is_locked_plain_and_names_what_exists(name, argument):
  config = built(name, argument)
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


@pytest.mark.parametrize(('name', 'words'), EVERY)
def test_a_config_takes_any_model(name, words):
  first = None
  for model in MODELS:
    config = built(name, model + words)
    assert config.model.source == model
    fields = set(config.to_dict())
    first = first or fields
    assert fields == first
    sizes = config.rollout.prompts * config.rollout.group
    assert sizes % (config.mini_batches * config.micro_batches) == 0


@pytest.mark.parametrize('name', ['rl_arithmetic', *WORDS])
def test_an_unknown_word_is_refused(name):
  with pytest.raises(ValueError, match="config argument 'X,smok': write"):
    built(name, 'X,smok')


@pytest.mark.parametrize(('name', 'words'), EVERY)
def test_smoke_cuts_the_run(name, words):
  config = built(name, f'smollm2-135m{words},smoke')
  assert config.rollout.prompts * config.rollout.group == 8
  assert config.rollout.max_tokens == 32
  assert config.mini_batches * config.epochs <= 2
  training_free = name == 'soft_thinking_gsm8k'
  assert config.steps == (0 if training_free else 2)
  assert config.eval.prompts == (8 if training_free else 0)


def test_hrpo_has_the_published_numbers():
  config = hrpo_gsm8k.get_config()
  assert config.lora.to_dict() == {'rank': 32, 'alpha': 64.0}
  rates = {n: g['lr'] for n, g in config.optimizer.groups.to_dict().items()}
  assert rates == {'lora': 5e-6, 'gate': 1e-4, 'decay': 1e-3}
  decays = [g.weight_decay for g in config.optimizer.groups.values()]
  assert decays == [0.1, 0.1, 0.1]
  optimizer = config.optimizer
  assert (optimizer.b1, optimizer.b2, optimizer.clip) == (0.9, 0.99, 0.1)
  assert (optimizer.schedule, optimizer.warmup) == ('cosine', 0.1)
  kwargs = config.objective.kwargs
  assert (kwargs.beta, kwargs.clip) == (0.005, None)
  assert kwargs.aggregation == 'sequence'
  assert config.advantage.kwargs.to_dict() == {
    'scale': 'group',
    'ddof': 1,
    'eps': 1e-4,
  }
  sampling = config.rollout.sampling
  assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.5, 50, 1)
  assert sampling.score_temperature == 1.0
  assert config.eval.sampling.to_dict() == {'greedy': True}
  assert (config.steps, config.epochs, config.mini_batches) == (934, 1, 1)
  assert config.steps == 7473 // 8
  assert config.rollout.delimiter == '####'
  assert config.feedback.initial.to_dict() == {
    'r_min': 0.99,
    'r_max': 0.999,
    'initializer': 'normal',
  }
  assert config.rewards.gsm8k.kwargs.parser == 'official'


@pytest.mark.parametrize(
  ('name', 'prompts', 'group', 'prompt_length', 'max_tokens'),
  [  # table 5, and the release's batch sizes
    ('hrpo_gsm8k', 8, 4, 512, 512),
    ('hrpo_math', 8, 8, 512, 1024),
    ('hrpo_mmlu', 8, 8, 512, 512),
    ('hrpo_knowledge', 16, 4, 2048, 512),
  ],
)
def test_hrpo_has_the_published_sizes(
  name, prompts, group, prompt_length, max_tokens
):
  config = module_of(name).get_config()
  rollout = config.rollout
  assert (rollout.prompts, rollout.group) == (prompts, group)
  assert rollout.prompt_length == prompt_length
  assert rollout.max_tokens == max_tokens
  gsm8k = hrpo_gsm8k.get_config()
  for field in ('feedback', 'objective', 'advantage', 'optimizer', 'lora'):
    assert config[field] == gsm8k[field]


@pytest.mark.parametrize(
  ('mode', 'temperature'), [('fuzzy', 1e-4), ('soft', 0.5), ('hard', None)]
)
@pytest.mark.parametrize(
  ('task', 'thinking'), [('gsm8k', 128), ('math', 512), ('deepscaler', 512)]
)
def test_soft_tokens_has_the_published_numbers(
  mode, temperature, task, thinking
):
  rates = {
    'meta-llama/Llama-3.2-3B-Instruct': 6e-6,
    'meta-llama/Llama-3.1-8B-Instruct': 3e-6,
    'Qwen/Qwen2.5-3B-Instruct': 8e-6,
  }
  for model, rate in rates.items():
    config = built(f'soft_tokens_{task}', f'{model},{mode}')
    assert config.optimizer.groups.model.lr == rate
  assert config.lora.rank == 0
  assert config.optimizer.schedule == 'cosine'
  assert round(config.optimizer.warmup * config.steps) == 20
  assert config.steps == 4000
  assert config.data.of.task == task
  rollout = config.rollout
  assert (rollout.prompts, rollout.group) == (2, 32)
  assert (rollout.thinking, rollout.answer) == (thinking, 32)
  assert rollout.max_tokens >= thinking + 32
  assert config.objective.kwargs.to_dict() == {
    'aggregation': 'sum',
    'clip': None,
  }
  assert config.advantage.function == 'advantages:leave_one_out'
  reward = config.rewards.soft_tokens
  assert reward.kwargs.to_dict() == {'right': 100.0, 'boxed': 10.0}
  given = {'temperature': temperature, 'noise': 0.33} if temperature else {}
  assert config.feedback.initial.to_dict() == given


def test_hyrea_has_the_published_numbers():
  plain, easyr1 = (
    built('hyrea_rl_math', 'X'),
    built('hyrea_rl_math', 'X,easyr1'),
  )
  for config in (plain, easyr1):
    rollout = config.rollout
    assert (rollout.prompts, rollout.group) == (128, 8)
    assert rollout.sampling.temperature == 1.0
    group = config.optimizer.groups.model
    assert (group.lr, group.weight_decay) == (1e-6, 1e-2)
    assert (config.optimizer.schedule, config.optimizer.warmup) == (
      'constant',
      0.0,
    )
    assert config.epochs * config.mini_batches == 1
    assert config.feedback.initial.slots == 1
    weights = {n: r['weight'] for n, r in config.rewards.to_dict().items()}
    assert weights == {'accuracy': 0.8, 'format': 0.1, 'latent': 0.1}
  assert plain.objective.kwargs.beta == 0
  assert easyr1.objective.kwargs.to_dict() == {
    'aggregation': 'token',
    'clip': (0.2, 0.3),
    'delta': 3.0,
    'beta': 1e-2,
    'kl': 'k3',
  }


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


@pytest.mark.parametrize(('name', 'words'), EVERY)
def test_a_right_answer_is_worth_more(name, words):
  gold, other = ('B', 'C') if name == 'hrpo_mmlu' else ('14', '15')
  config = built(name, f'X{words}')
  form = '<think>\n{0}.</think> \\boxed{{{0}}}'
  if config.rollout.delimiter == '####':
    form = 'It is {0}. #### {0}'
  completions = [form.format(one) for one in (gold, other)]
  total = np.zeros(2)
  for reward in config.rewards.values():
    function = named(reward.function, 'hybrid_latent.rewards')
    total += reward.weight * np.array(
      function(
        completions,
        answer=[gold] * 2,
        completion_ids=[[0] * 9] * 2,
        **reward.kwargs,
      )
    )
  assert total[0] >= total[1] + 0.8
