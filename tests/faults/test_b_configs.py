"""Values that no field accepts, refused with the field, the value and what it
accepts; nothing is loaded for that."""

import pytest

from experiments.fields.check import check
from experiments.fields.overrides import resolved

KIND = 'nonsense that trains nothing, exit 0'
COUNT, MAYBE = 'an integer >= 1', 'an integer >= 0'
FINITE, POSITIVE, FLAG = 'a number', 'a number > 0', 'True or False'
SHARE, DECAY = 'a number > 0 and <= 1', 'a number >= 0 and < 1'
UNIT, PLUS = 'a number >= 0 and <= 1', 'a number >= 0'
TEXT, COUNTS = 'text that is not empty', f'a tuple of values, each {COUNT}'

# Command, config -> what fields accept -> fields -> values that they do not.
WRONG = {
  ('grpo', 'rl:MODEL'): {
    'an integer >= 0 and < 4294967296': {
      'seed': ['-1', '0.5', 'random', '4294967296', 'None', 'True', ''],
    },
    MAYBE: {
      'max_steps': ['-1', '1.5', 'few', 'inf', '1e3', '(3,)'],
      'latent_passes': ['-1', '1.5'],
      'rollout.max_num_seqs': ['-1', '1.5'],
      'lora.rank': ['-4', '0.5'],
      'rollout.max_thinking_tokens': ['-1'],
      'rollout.max_answer_tokens': ['-1', 'long'],
      'rollout.answer_reserve': ['-1'],
      'rollout.sampling.top_k': ['-1', '2.5'],
      'reference.sync_steps': ['-1'],
      'dump_every': ['-1'],
      'eval.num_prompts': ['-1', 'all'],
      'eval.max_thinking_tokens': ['-1'],
      'num_logged_completions': ['-1'],
      'generate.num_prompts': ['-1'],
    },
    COUNT: {
      'num_iterations': ['0', '-1', '1.5'],
      'num_mini_batches': ['0', 'two'],
      'gradient_accumulation_steps': ['0', '-2', 'None'],
      'rollout.prompts_per_step': ['0', '-8'],
      'rollout.num_generations': ['0', '-1'],
      'rollout.max_prompt_length': ['0', '-1'],
      'rollout.max_completion_length': ['0', '-1', 'nan'],
      'rollout.buckets': ['0', '-1'],
      'rollout.cache_stages': ['0', '-3'],
      'rollout.logits_chunk': ['0', '-1'],
      'rollout.dynamic_sampling_max_batches': ['0', '-1'],
      'grader.workers': ['0', '-1'],
      'eval.every': ['0', '-1'],
      'eval.num_generations': ['0', '-1'],
      'checkpoint.every': ['0', '-1'],
      'checkpoint.keep': ['0', '-1', 'all'],
      'generate.num_generations': ['0'],
      'generate.rows_per_shard': ['0'],
    },
    FINITE: {
      'rewards.accuracy.weight': ['nan', 'inf', '-inf', 'high', 'None'],
    },
    'a number or -inf': {'generate.min_reward': ['nan', 'inf', 'best']},
    POSITIVE: {
      'lora.alpha': ['0', '-1', 'nan', 'inf'],
      'rollout.sampling.temperature': ['0', '-1', 'nan', 'hot'],
      'rollout.sampling.score_temperature': ['0', '-0.5'],
      'eval.sampling.temperature': ['0'],
      'optimizer.max_grad_norm': ['0', '-1', 'nan', 'inf', 'None'],
      'grader.timeout_s': ['0', '-1', 'nan', 'inf'],
    },
    PLUS: {'reward_kl.beta': ['-0.1', 'nan', 'inf']},
    SHARE: {
      'rollout.sampling.top_p': ['0', '1.1', '-1', 'nan'],
      'optimizer.groups.lora.lr': ['-1', '0', '2', 'nan', 'inf', '1e400'],
    },
    DECAY: {
      'rollout.sampling.min_p': ['1', '-0.1', 'nan'],
      'optimizer.b1': ['1', '-0.1', 'nan'],
      'optimizer.b2': ['1.0', '2'],
    },
    UNIT: {
      'reference.mixup_alpha': ['1.5', '-0.1'],
      'optimizer.warmup_ratio': ['-0.1', '1.5', 'nan'],
      'optimizer.groups.lora.weight_decay': ['-0.1', '2', 'nan'],
    },
    FLAG: {
      'critic.enabled': ['1', 'yes', '0'],
      'rollout.mask_truncated': ['2'],
      'rollout.sampling.greedy': ['maybe'],
      'data.enable_thinking': ['on'],
      'export': ['here'],
    },
    '-1 or an integer >= 1': {
      'mesh.data': ['0', '-2'],
      'mesh.fsdp': ['0', '1.5'],
      'mesh.tensor': ['-3'],
      'mesh.sequence': ['0'],
    },
    'an integer >= -1': {'rollout.mesh.data': ['-2', '0.5']},
    "'float32' or 'bfloat16'": {
      'model.dtype': ['float8', 'fp32', 'int8'],
      'model.param_dtype': ['float64'],
    },
    "'none', 'dots' or 'full'": {'model.remat': ['some', 'True']},
    "'xla', 'xla_chunked', 'cudnn' or 'splash' or None": {
      'model.attention': ['flash', 'auto']
    },
    "'', 'chain_of_thought', 'latent' or 'no_thinking'": {
      'rollout.mode': ['laten']
    },
    "'k1', 'k2', 'k3', 'k1+' or 'k3+'": {'reward_kl.estimator': ['k4', 'k2+']},
    "'constant' or 'cosine'": {'optimizer.schedule': ['linear', '']},
    'a regular expression': {
      'optimizer.groups.lora.pattern': ['(', '[a', '*lora', '(?P<x>.)(?P<x>.)'],
    },
    TEXT: {
      'feedback.function': [''],
      'objective.function': [''],
      'rewards.accuracy.function': [''],
      'data.function': [''],
      'data.train_split': [''],
      'data.test_split': [''],
    },
    f'a tuple of values, each {TEXT}': {'model.new_tokens': ["('',)", '(1,)']},
    COUNTS: {'evaluate.budgets': ['0', '(512, -1)', '(1.5,)', 'all']},
    "a tuple of values, each 'chain_of_thought', 'no_thinking' or 'latent'": {
      'evaluate.modes': ['words', "('chain_of_thought', 'both')"],
    },
    'a tuple of values, each NAME=FOLDER': {
      'evaluate.models': ['folder', "('a=b', 'c=')"],
      'evaluate.reasoners': ["('=x',)"],
    },
    # Keywords of functions: their own signatures say what they accept.
    "'group', 'batch' or 'none'": {'advantage.kwargs.scale': ['banana', '']},
    '0 or 1': {'advantage.kwargs.ddof': ['8', '-1', 'True']},
    "'token', 'sequence', 'constant' or 'sum'": {
      'objective.kwargs.aggregation': ['mean', 'Token'],
    },
    "'token', 'sequence' or 'sequence-sum'": {
      'objective.kwargs.level': ['group'],
    },
    "'k1', 'k2', 'k3', 'k1+' or 'k3+' ": {'objective.kwargs.kl': ['k9']},
    '(a number >= 0 and <= 1, a number > 0) or None': {
      'objective.kwargs.clip_range': [
        '(0.2,)',
        '-1',
        '(0.2, 0)',
        '(nan, 0.2)',
        '0.2',
        '(0.2, 0.3, 0.4)',
        'none',
      ],
    },
    'a number > 1 or None': {'objective.kwargs.delta': ['1', '-3']},
    "'rollout' or 'behavior'": {
      'objective.kwargs.importance_sampling_target': ['policy']
    },
    f'{POSITIVE} ': {
      'advantage.kwargs.eps': ['0', '-1', 'nan'],
      'objective.kwargs.importance_sampling_cap': ['0'],
    },
    f'{PLUS} ': {'objective.kwargs.beta': ['-0.1', 'inf']},
    f'{SHARE} ': {'objective.kwargs.top_entropy': ['0', '1.1']},
    f'{FINITE} ': {'objective.kwargs.entropy_coef': ['nan']},
    "'official' or 'fixed'": {'rewards.accuracy.kwargs.parser': ['mine']},
  },
  ('grpo', 'hrpo_gsm8k:MODEL'): {
    "'stable' or 'published'": {'feedback.kwargs.form': ['stabl']},
    MAYBE: {'feedback.kwargs.width': ['-1', '1.5']},
    "'normal' or 'uniform'": {'feedback.init_kwargs.initializer': ['zeros']},
    'a number > 0 and < 1': {
      'feedback.init_kwargs.r_min': ['0', '1', '-0.5', 'nan'],
      'feedback.init_kwargs.r_max': ['1.5'],
    },
  },
  ('grpo', 'soft_tokens_gsm8k:MODEL'): {
    POSITIVE: {'feedback.init_kwargs.temperature': ['0', '-1']},
    PLUS: {'feedback.init_kwargs.noise': ['-0.1', 'nan']},
  },
  ('grpo', 'soft_thinking_gsm8k:MODEL'): {
    COUNT: {
      'feedback.init_kwargs.patience': ['0'],
      'feedback.kwargs.width': ['0', '-1'],
    },
    PLUS: {'feedback.init_kwargs.threshold': ['-1']},
  },
  ('grpo', 'soft_grpo_gsm8k:MODEL'): {
    COUNT: {'feedback.kwargs.width': ['0']},
    POSITIVE: {'feedback.init_kwargs.temperature': ['0']},
    PLUS: {'feedback.init_kwargs.scale': ['-1']},
  },
  ('grpo', 'multiplex_gsm8k:MODEL'): {
    COUNT: {'feedback.kwargs.width': ['0', '1.5']},
    FLAG: {'feedback.kwargs.weighted': ['2']},
  },
  ('grpo', 'swireasoning_gsm8k:MODEL'): {
    MAYBE: {'feedback.init_kwargs.window': ['-1']},
    UNIT: {'feedback.init_kwargs.beta': ['1.5', 'nan']},
  },
  ('grpo', 'ppo_gsm8k:MODEL'): {
    UNIT: {
      'advantage.kwargs.gamma': ['1.5', '-1'],
      'advantage.kwargs.lam': ['2'],
    },
    FLAG: {'advantage.kwargs.whiten': ['2']},
  },
  ('grpo', 'dapo_gsm8k:MODEL'): {
    COUNT: {
      'rewards.overlong.kwargs.limit': ['0'],
      'rewards.overlong.kwargs.buffer': ['-1'],
    },
  },
  ('sft', 'sft:MODEL'): {
    COUNT: {
      'batch_size': ['0', '-4', '1.5'],
      'max_length': ['0', '-1'],
      'buckets': ['0'],
      'logits_chunk': ['0', '-1'],
      'entropy.rows_per_shard': ['0'],
    },
    MAYBE: {'bptt_steps': ['-1', 'all'], 'entropy.example_steps': ['-1']},
    FLAG: {'packing': ['1'], 'stages.reset_optimizer': ['no']},
    f'a tuple of values, each {MAYBE}': {'stages.starts': ['-1', '(0, 1.5)']},
    f'a tuple of values, each {SHARE}': {
      'stages.data_fraction': ['0', '(1.5,)', '(nan,)'],
    },
    "'mean', 'sum' or 'max'": {'entropy.aggregation': ['median']},
  },
  ('sft', 'hyrea_sft_math:MODEL'): {
    "'entropy', 'random', 'first', 'last', 'highest' or 'none'": {
      'curriculum.kwargs.replace': ['all'],
    },
    COUNT: {'feedback.init_kwargs.num_latents': ['0', 'two']},
    MAYBE: {
      'curriculum.kwargs.num_latents': ['-1'],
      'curriculum.kwargs.min_step_tokens': ['-1'],
    },
  },
  ('sft', 'codi_gsm8k:MODEL'): {
    "'smooth_l1' or 'l2'": {'objective.kwargs.loss_type': ['l3']},
    MAYBE: {
      'curriculum.kwargs.num_latents': ['-1', '1.5'],
      'feedback.inner.init_kwargs.width': ['-1'],
    },
    PLUS: {
      'curriculum.kwargs.teacher': ['-1'],
      'objective.kwargs.weight': ['-1', 'nan'],
    },
  },
  ('sft', 'coconut_gsm8k:MODEL'): {
    MAYBE: {
      'curriculum.kwargs.c_thought': ['-1'],
      'curriculum.kwargs.max_latent_stage': ['-1'],
    },
    UNIT: {'curriculum.kwargs.uniform_prob': ['1.5']},
  },
  ('lrt', 'lrt:MODEL,rl'): {
    COUNT: {'feedback.init_kwargs.latents': ['0', '-1', '1.5']},
    "'last' or 'prompt'": {'feedback.init_kwargs.reads': ['all']},
    "'generated' or 'openr1_math'": {'data.sft_answers_task': ['gsm8k']},
  },
}
ROWS = [
  (command, config, field, value, accepted.strip())
  for (command, config), kinds in WRONG.items()
  for accepted, fields in kinds.items()
  for field, values in fields.items()
  for value in values
]


def test_there_are_enough():
  assert len(ROWS) >= 200


@pytest.mark.parametrize(
  ('command', 'config', 'field', 'value', 'accepted'), ROWS
)
def test_a_value_that_a_field_does_not_accept(
  command, config, field, value, accepted, now
):
  with pytest.raises(ValueError) as error:
    check(resolved(config, [f'--config.{field}={value}']), command)
  told = str(error.value)
  now(KIND, f'{config} {field}={value}', told)
  assert told.startswith(f'config.{field} is ')
  assert repr(value) in told
  assert told.endswith(f': write {accepted}')
