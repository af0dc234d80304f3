"""The numbers of the papers in their configs."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import grpo_gsm8k, hrpo_gsm8k
from experiments.configs.sft import SPAN_TOKENS
from hybrid_latent.data.chat import word_tokenizer
from hybrid_latent.formats.pretrained import Pretrained
from hybrid_latent.formats.special import with_tokens
from hybrid_latent.models.transformer import Transformer
from tests.experiments.test_configs import built, module_of
from tests.tiny import CONFIG


def test_hrpo_has_the_published_numbers():
  config = hrpo_gsm8k.get_config()
  assert config.lora.to_dict() == {'rank': 32, 'alpha': 64.0}
  rates = {n: g['lr'] for n, g in config.optimizer.groups.to_dict().items()}
  assert rates == {'lora': 5e-6, 'gate': 1e-4, 'decay': 1e-3}
  decays = [g.weight_decay for g in config.optimizer.groups.values()]
  assert decays == [0.1, 0.1, 0.1]
  optimizer = config.optimizer
  assert (optimizer.b1, optimizer.b2, optimizer.max_grad_norm) == (
    0.9,
    0.99,
    0.1,
  )
  assert (optimizer.schedule, optimizer.warmup_ratio) == ('cosine', 0.1)
  kwargs = config.objective.kwargs
  assert (kwargs.beta, kwargs.clip_range) == (0.005, None)
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
  assert (config.max_steps, config.num_iterations, config.num_mini_batches) == (
    934,
    1,
    1,
  )
  assert config.max_steps == 7473 // 8
  assert config.rollout.end_of_thinking == '####'
  assert config.feedback.init_kwargs.to_dict() == {
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
  assert (rollout.prompts_per_step, rollout.num_generations) == (prompts, group)
  assert rollout.max_prompt_length == prompt_length
  assert rollout.max_completion_length == max_tokens
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
  assert round(config.optimizer.warmup_ratio * config.max_steps) == 20
  assert config.max_steps == 4000
  assert config.data.kwargs.task == task
  rollout = config.rollout
  assert (rollout.prompts_per_step, rollout.num_generations) == (2, 32)
  assert (rollout.max_thinking_tokens, rollout.max_answer_tokens) == (
    thinking,
    32,
  )
  assert rollout.max_completion_length >= thinking + 32
  assert config.objective.kwargs.to_dict() == {
    'aggregation': 'sum',
    'clip_range': None,
  }
  assert config.advantage.function == 'advantages:leave_one_out'
  reward = config.rewards.soft_tokens
  assert reward.kwargs.to_dict() == {'right': 100.0, 'boxed': 10.0}
  given = {'temperature': temperature, 'noise': 0.33} if temperature else {}
  assert config.feedback.init_kwargs.to_dict() == given


def test_hyrea_has_the_published_numbers():
  plain, easyr1 = (
    built('hyrea_rl_math', 'X'),
    built('hyrea_rl_math', 'X,easyr1'),
  )
  for config in (plain, easyr1):
    rollout = config.rollout
    assert (rollout.prompts_per_step, rollout.num_generations) == (128, 8)
    assert rollout.sampling.temperature == 1.0
    group = config.optimizer.groups.model
    assert (group.lr, group.weight_decay) == (1e-6, 1e-2)
    assert (config.optimizer.schedule, config.optimizer.warmup_ratio) == (
      'constant',
      0.0,
    )
    assert config.num_iterations * config.num_mini_batches == 1
    assert config.feedback.init_kwargs.num_latents == 1
    weights = {n: r['weight'] for n, r in config.rewards.to_dict().items()}
    assert weights == {'accuracy': 0.8, 'format': 0.1, 'latent': 0.1}
  assert plain.objective.kwargs.beta == 0
  assert easyr1.objective.kwargs.to_dict() == {
    'aggregation': 'token',
    'clip_range': (0.2, 0.3),
    'delta': 3.0,
    'beta': 1e-2,
    'kl': 'k3',
  }


def test_hyreas_start_has_the_published_numbers():
  config = built('hyrea_sft_math', 'X')
  assert config.optimizer.groups.model.lr == 4e-7
  assert config.batch_size == 32
  assert config.curriculum.kwargs.to_dict() == {
    'num_latents': 1,
    'replace': 'entropy',
    'min_step_tokens': 3,
    'switch_weight': 4.0,
    # not the paper's: stages are not mixed; the format that its RL rewards
    'uniform_prob': 0.0,
    'thinking_tags': ('<think>', '</think>'),
  }
  steps = np.diff([*config.stages.starts, config.max_steps])
  shares = np.array(config.stages.data_fraction)
  np.testing.assert_allclose(np.diff(shares), 0.1)
  rows = 860_000 + 390_000
  assert (steps == (rows * shares).round() // 32).all()
  assert (
    config.feedback.init_kwargs.num_latents
    == config.curriculum.kwargs.num_latents
  )
  assert built('hyrea_sft_math', 'X,none').curriculum.kwargs.replace == 'none'


def test_coconut_has_the_published_numbers():
  config = built('coconut_gsm8k', 'X')
  group = config.optimizer.groups.model
  assert (group.lr, group.weight_decay) == (1e-4, 0.01)
  assert config.optimizer.schedule == 'constant'
  assert (config.batch_size, config.stages.reset_optimizer) == (128, True)
  kwargs = config.curriculum.kwargs.to_dict()
  assert kwargs == {'c_thought': 2, 'max_latent_stage': 3, 'delimiters': True}
  without = built('coconut_gsm8k', 'X,no_thoughts').curriculum.kwargs.to_dict()
  assert without == {'c_thought': 0, 'max_latent_stage': 3, 'delimiters': False}
  prosqa = built('coconut_prosqa', 'X').curriculum.kwargs.to_dict()
  assert prosqa == {'c_thought': 1, 'max_latent_stage': 6, 'delimiters': True}


@pytest.mark.parametrize(
  ('name', 'argument'),
  [
    ('coconut_gsm8k', 'X'),
    ('coconut_prosqa', 'X'),
    ('coconut_prosqa', 'X,small'),
    ('sft_arithmetic', 'X,coconut'),
    ('states', 'X,coconut'),
    ('states', 'X,pause,8'),
  ],
)
def test_evaluations_have_the_latents_of_the_last_stage(name, argument):
  """They know the config alone, not the stage."""
  config = built(name, argument)
  kwargs, spans = config.curriculum.kwargs, config.feedback.init_kwargs
  last = len(config.stages.starts) - 1
  steps = min(last, kwargs.max_latent_stage)
  assert spans.num_latents == steps * kwargs.c_thought
  assert spans.opening
  assert spans.get('delimiters', True) == kwargs.delimiters


@pytest.mark.parametrize(
  ('name', 'argument'),
  [
    ('coconut_gsm8k', 'X,no_thoughts'),
    ('coconut_prosqa', 'X,no_thoughts'),
    ('states', 'X,dropped'),
  ],
)
def test_evaluations_without_thoughts_have_no_latents(name, argument):
  assert built(name, argument).feedback.function == 'discrete:discrete'


def test_codis_marks_begin_apart(key):
  """Adapters never train their rows: equal ones would stay equal."""
  tokenizer = word_tokenizer(['<<', '>>'])
  config = dataclasses.replace(CONFIG, vocab=len(tokenizer))
  source = Pretrained(Transformer(config, key), tokenizer, {})
  for token in built('codi_gsm8k', 'X').model.new_tokens:
    name, _, like = token.partition('=')
    source = with_tokens(source, [name], like)
  ids = source.tokenizer.convert_tokens_to_ids([*SPAN_TOKENS])
  rows = source.model.table[jnp.array(ids)]
  assert len({tuple(row.tolist()) for row in rows}) == 3


def test_codi_has_the_published_numbers():
  config = built('codi_gsm8k', 'X')
  assert config.objective.function == 'codi:self_distillation'
  assert config.objective.kwargs.to_dict() == {
    'weight': 20.0,
    'loss_type': 'smooth_l1',
    'div_std': True,
  }
  assert config.lora.to_dict() == {'rank': 128, 'alpha': 32.0}
  assert config.feedback.inner.init_kwargs.to_dict() == {
    'width': 2048,
    'norm': True,
  }
  for group in config.optimizer.groups.values():
    assert (group.lr, group.weight_decay) == (8e-4, 0.1)
  optimizer = config.optimizer
  assert (optimizer.schedule, optimizer.warmup_ratio) == ('cosine', 0.03)
  assert (optimizer.max_grad_norm, config.batch_size) == (2.0, 128)
  assert config.max_steps == 7473 * 10 // 128 + 1
  kwargs = config.curriculum.kwargs
  assert kwargs.num_latents == config.feedback.init_kwargs.num_latents == 6
  assert (kwargs.teacher, kwargs.last_step) == (1.0, False)


def test_grpo_differs_from_hrpo_in_the_feedback_alone():
  ours, theirs = grpo_gsm8k.get_config(), hrpo_gsm8k.get_config()
  differ = {name for name in theirs if ours[name] != theirs[name]}
  assert differ == {'feedback', 'optimizer'}
  assert ours.feedback.function == 'discrete:discrete'
  assert ours.feedback.init == ''
  groups = theirs.optimizer.groups.to_dict()
  assert ours.optimizer.groups.to_dict() == {'lora': groups['lora']}
  rest = lambda o: {k: v for k, v in o.to_dict().items() if k != 'groups'}
  assert rest(ours.optimizer) == rest(theirs.optimizer)
