"""Every config in experiments/configs."""

import importlib
import pkgutil
import shutil
from pathlib import Path

import ml_collections
import numpy as np
import pytest

from experiments import configs
from experiments.configs import (
  dial,
  lrt_arithmetic,
  noisy_states,
  running_sums,
  states,
)
from experiments.configs.sft_arithmetic import METHODS
from experiments.training.cli import named, resolved

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
  'switch_math': [''],
  'grpo_gsm8k': [
    *('', ',official', ',dr_grpo', ',gspo'),
    *(',official,dr_grpo', ',official,gspo', ',official,cispo'),
    *(',cispo', ',sapo', ',official,sapo'),
  ],
  'rloo_gsm8k': ['', ',official'],
  'ppo_gsm8k': ['', ',official'],
  'dapo_gsm8k': ['', ',official'],
  'shorter_better_gsm8k': [''],
  'lc_r1_gsm8k': [''],
  'soft_thinking_gsm8k': [
    *('', ',mixing', ',stop_only', ',gumbel', ',dirichlet')
  ],
  'soft_grpo_gsm8k': ['', ',latent_grpo'],
  'multiplex_gsm8k': ['', ',weighted'],
  'colar_rl_gsm8k': [''],
  'swireasoning_gsm8k': ['', ',limited'],
}
SUPERVISED = {
  'sft': [''],
  'sft_gsm8k': ['', ',no_cot', ',coconut', ',no_cot,coconut'],
  'hyrea_sft_math': ['', ',random', ',none'],
  'coconut_gsm8k': ['', ',no_thoughts'],
  'coconut_prosqa': [
    *('', ',no_thoughts', ',cot', ',no_cot'),
    *(',small', ',no_thoughts,small', ',cot,small'),
  ],
  'codi_gsm8k': [''],
  'pccot_gsm8k': [''],
  'kava_gsm8k': [''],
  'sim_cot_gsm8k': ['', ',codi'],
  'colar_gsm8k': [''],
}
REASONED = {
  'lrt': ['', ',rl'],
  'lrt_gsm8k': [',sft', ',rl'],
}
OTHERS = {
  'rl_arithmetic': ['FOLDER,hrpo', 'FOLDER,grpo'],
  'lrt_arithmetic': [
    *('FOLDER,words', 'FOLDER,sft,OTHER', 'FOLDER,rl,OTHER'),
    *(f'FOLDER,{method}' for method in lrt_arithmetic.SHORTER),
  ],
  'running_sums': [f'FOLDER,{method}' for method in running_sums.METHODS],
  'hyrea_table': ['X', 'smollm2-135m,smoke', 'FOLDER,arithmetic'],
  'soft_tokens_table': ['X', 'smollm2-135m,smoke', 'FOLDER,arithmetic'],
  'lrt_table': ['X', 'smollm2-135m,smoke', 'FOLDER,arithmetic'],
  'sft_arithmetic': ['FOLDER', *(f'FOLDER,{name}' for name in METHODS)],
  'states': [f'FOLDER,{name}' for name in (*states.METHODS, 'coconut,8')],
  'dial': [f'FOLDER,{method}' for method in dial.METHODS],
  'noisy_states': ['FOLDER', *(f'FOLDER,{x}' for x in noisy_states.METHODS)],
}
listed = lambda table: [(name, x) for name, some in table.items() for x in some]
EVERY, TAUGHT, TUNED = map(listed, (WORDS, SUPERVISED, REASONED))
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
  tested = WORDS | SUPERVISED | REASONED | OTHERS
  assert {module.name for module in modules} == tested.keys()


@pytest.mark.parametrize('path', ['hrpo_gsm8k', 'hrpo_gsm8k.py', 'copy.py'])
def test_a_name_and_a_copy_are_found_in_any_folder(path, tmp_path, monkeypatch):
  """A copy may import what the config does, relative to its package."""
  file = Path('experiments/configs/hrpo_gsm8k.py')
  expected = resolved(f'{file}:MODEL', [])
  shutil.copy(file, tmp_path / 'copy.py')
  monkeypatch.chdir(tmp_path)
  assert resolved(f'{path}:MODEL', []) == expected


@pytest.mark.parametrize(
  ('name', 'argument'),
  [
    *((name, f'smollm2-135m{words}') for name, words in EVERY + TAUGHT + TUNED),
    *listed(OTHERS),
  ],
)
def test_a_config_is_locked_plain_and_names_what_exists(name, argument):
  config = built(name, argument)
  assert_locked(config)
  with pytest.raises((AttributeError, KeyError), match='max_stepz'):
    config.max_stepz = 3
  assert config.to_json() == built(name, argument).to_json()
  for field, package in (
    ('feedback', 'hybrid_latent.feedback'),
    ('curriculum', 'hybrid_latent.curricula'),
    ('objective', 'hybrid_latent.objectives'),
    ('advantage', 'hybrid_latent.objectives'),
  ):
    if field in config:
      named(config[field].function, package)
  named(config.data.function, 'hybrid_latent.data')


def assert_locked(config):
  assert config.is_locked
  for value in config.values():
    if isinstance(value, ml_collections.ConfigDict):
      assert_locked(value)


@pytest.mark.parametrize(('name', 'words'), EVERY + TAUGHT + TUNED)
def test_a_config_takes_any_model(name, words):
  first = None
  for model in MODELS:
    config = built(name, model + words)
    assert config.model.source == model
    fields = set(config.to_dict())
    first = first or fields
    assert fields == first
    sizes, parts = config.get('batch_size'), config.gradient_accumulation_steps
    if name not in SUPERVISED:
      sizes = config.rollout.prompts_per_step * config.rollout.num_generations
      parts *= config.num_mini_batches
    assert sizes % parts == 0


@pytest.mark.parametrize(
  'name',
  [
    *('rl_arithmetic', 'sft_arithmetic', 'noisy_states'),
    *(*WORDS, *SUPERVISED, *REASONED),
  ],
)
def test_an_unknown_word_is_refused(name):
  with pytest.raises(ValueError, match="config argument 'X,smok': write"):
    built(name, 'X,smok')


@pytest.mark.parametrize(('name', 'words'), EVERY + TUNED)
def test_smoke_cuts_the_run(name, words):
  config = built(name, f'smollm2-135m{words},smoke')
  assert config.rollout.prompts_per_step * config.rollout.num_generations == 8
  assert config.rollout.max_completion_length == 32
  assert config.num_mini_batches * config.num_iterations <= 2
  training_free = name in ('soft_thinking_gsm8k', 'swireasoning_gsm8k')
  assert config.max_steps == (0 if training_free else 2)
  assert config.eval.num_prompts == (8 if training_free else 0)


@pytest.mark.parametrize(('name', 'words'), TAUGHT)
def test_smoke_keeps_every_stage_of_a_curriculum(name, words):
  config = built(name, f'smollm2-135m{words},smoke')
  begin = config.stages.starts
  assert len(begin) == len(built(name, f'smollm2-135m{words}').stages.starts)
  assert begin == tuple(range(0, config.max_steps, 2))
  assert (config.batch_size, config.eval.num_prompts) == (4, 4)


@pytest.mark.parametrize(('name', 'words'), EVERY + TAUGHT + TUNED)
def test_a_right_answer_is_worth_more(name, words):
  gold, other = ('B', 'C') if name == 'hrpo_mmlu' else ('14', '15')
  config = built(name, f'X{words}')
  form = '<think>\n{0}.</think> \\boxed{{{0}}}'
  if set(config.rollout.end_of_thinking) == {'#'}:
    form = f'It is {{0}}. {config.rollout.end_of_thinking} {{0}}'
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
