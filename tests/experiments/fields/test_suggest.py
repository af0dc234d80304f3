"""What is suggested for names of other trainers, and for mistakes."""

import pytest

from experiments.fields.functions import ROLES, keywords, resolved_function
from experiments.fields.overrides import leaves, resolved
from experiments.fields.suggest import ELSEWHERE, THEIRS
from experiments.fields.table import FIELDS, matches

RL, SFT, LRT = 'grpo_gsm8k:M', 'sft:M', 'lrt:M'
GROUP = 'config.optimizer.groups'
LOSS = 'write config.objective.kwargs'


def suggested(path, name):
  with pytest.raises(ValueError) as caught:
    resolved(path, [f'--config.{name}=1'])
  return str(caught.value).partition(': ')[2]


@pytest.mark.parametrize('name', THEIRS)
def test_every_target_is_a_field(name):
  fields = {field for path in (RL, SFT, LRT) for field, _ in leaves(
    resolved(path, []))}  # fmt: skip
  for target in THEIRS[name]:
    part, at, keyword = target.rpartition('.kwargs.')
    if not at:
      assert target in FIELDS
      assert any(matches(f, target) for f in fields) or target == 'data.path'
      continue
    role = ROLES[f'{part}.function']
    spec = resolved(RL, [])[part].function
    function = resolved_function(f'{part}.function', role, spec)
    assert keyword in keywords(function, role)[0]


@pytest.mark.parametrize(
  ('path', 'name', 'said'),
  [
    (RL, 'learning_rate', f'write {GROUP}.lora.lr'),
    (RL, 'lr', f'write {GROUP}.lora.lr'),
    (RL, 'optimizer.lr', f'write {GROUP}.lora.lr'),
    (RL, 'optimizer.learning_rate', f'write {GROUP}.lora.lr'),
    (LRT, 'lr', f'write {GROUP}.backbone.lr or {GROUP}.ends.lr'),
    (
      RL,
      'per_device_train_batch_size',
      'write config.rollout.prompts_per_step',
    ),
    (RL, 'batch_size', 'write config.rollout.prompts_per_step'),
    (RL, 'temperature', 'write config.rollout.sampling.temperature'),
    (RL, 'rollout.top_k', 'write config.rollout.sampling.top_k'),
    (RL, 'beta', f'{LOSS}.beta'),
    (RL, 'epsilon', f'{LOSS}.clip_range'),
    (RL, 'objective.kwargs.epsilon', f'{LOSS}.clip_range'),
    (RL, 'scale_rewards', 'write config.advantage.kwargs.scale'),
    (RL, 'output_dir', 'write --workdir=FOLDER'),
    (SFT, 'export', f'{ELSEWHERE["export"]}'),
    # The same word elsewhere, almost the same, and nothing like it.
    (RL, 'rolout.max_prompt_length', 'write config.rollout.max_prompt_length'),
    (
      RL,
      'rollout.max_completion_lengt',
      'write config.rollout.max_completion_length',
    ),
    (RL, 'rollout.promts', 'write config.rollout.prompts_per_step'),
    (RL, 'rollout.grup', 'write config.rollout.num_generations'),
    (RL, 'max_stepz', 'write config.max_steps'),
    (RL, 'colour', 'write one that --help lists'),
    (RL, 'rollout.level', 'write one that --help lists'),
    (
      SFT,
      'rollout.dynamic_sampling_max_batches',
      'write one that --help lists',
    ),
    (SFT, 'scale_rewards', 'write one that --help lists'),
    (RL, 'advantage.kwargs.whiten', 'write one that --help lists'),
  ],
)
def test_what_is_suggested(path, name, said):
  assert suggested(path, name) == said


def test_a_field_of_another_command_is_said_to_be_one():
  with pytest.raises(
    ValueError, match=r'config\.data\.sft_answers_dir, which other conf'
  ):
    resolved(RL, ['--config.data.sft_answers_dir=F'])
