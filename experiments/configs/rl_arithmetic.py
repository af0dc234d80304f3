"""Any method on arithmetic word problems, small enough for two CPU cores.

    python -m experiments.grpo --workdir=runs/hrpo \
        --config=rl_arithmetic:runs/sft/model,hrpo

The argument is FOLDER,METHOD. Each method has its own config; data, prompt,
answers after `####`, lengths and learning rates are the same for all, for
comparison: 40 steps of 8 x 8 completions, full fine-tuning of a third of a
million parameters. HRPO's gate starts further open (r_min 0.95), to have an
effect in a short run. Each group has its paper's weight decay. HRPO's 0.1 on
`decay` (the paper's Lambda) raises the hidden ratio whatever is learnt: AdamW
multiplies Lambda by 1 - lr * weight_decay per step, 0.999 here, and a mixes in
more of the distribution as Lambda falls. studies/hrpo.py has the run without
it, --config.optimizer.groups.decay.weight_decay=0. Part of `make quickstart`;
half a minute on two CPU cores. Numbers to expect: RESULTS.md.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from . import (
  dapo_gsm8k,
  grpo_gsm8k,
  hrpo_gsm8k,
  hyrea_rl_math,
  lc_r1_gsm8k,
  multiplex_gsm8k,
  ppo_gsm8k,
  rloo_gsm8k,
  shorter_better_gsm8k,
  soft_grpo_gsm8k,
  soft_thinking_gsm8k,
  soft_tokens_gsm8k,
  swireasoning_gsm8k,
)

METHODS: dict[str, tuple[Callable[[str], ConfigDict], str]] = {
  'grpo': (grpo_gsm8k.get_config, ''),
  'dr_grpo': (grpo_gsm8k.get_config, ',dr_grpo'),
  'dapo': (dapo_gsm8k.get_config, ''),
  'rloo': (rloo_gsm8k.get_config, ''),
  'ppo': (ppo_gsm8k.get_config, ''),
  'hrpo': (hrpo_gsm8k.get_config, ''),
  'interpolated': (hrpo_gsm8k.get_config, ',interpolated'),
  'direct': (hrpo_gsm8k.get_config, ',direct'),
  'hard': (soft_tokens_gsm8k.get_config, ',hard'),
  'fuzzy': (soft_tokens_gsm8k.get_config, ',fuzzy'),
  'soft': (soft_tokens_gsm8k.get_config, ',soft'),
  'soft_grpo': (soft_grpo_gsm8k.get_config, ''),
  'latent_grpo': (soft_grpo_gsm8k.get_config, ',latent_grpo'),
  'multiplex': (multiplex_gsm8k.get_config, ''),
  'hyrea': (hyrea_rl_math.get_config, ''),
  'shorter_better': (shorter_better_gsm8k.get_config, ''),
  'lc_r1': (lc_r1_gsm8k.get_config, ''),
  'soft_thinking': (soft_thinking_gsm8k.get_config, ''),
  'swireasoning': (swireasoning_gsm8k.get_config, ''),
}
ACCURACY = dict(
  function='hybrid_latent.rewards.hrpo:correct', kwargs=dict(parser='fixed')
)
# Keywords of each reward for this task's answers.
ANSWERS = {
  'gsm8k': dict(parser='fixed'),
  'soft_tokens': dict(marker='####'),
  'latent': dict(marker='####'),
  'shorter_better': dict(kind='number'),
  'length': dict(kind='number', end='####'),
  'overlong': dict(limit=32, buffer=8),
  'format': dict(pattern=r'(?!.*####.*####).*####.*'),
}


def get_config(argument: str) -> ConfigDict:
  folder, _, method = argument.rpartition(',')
  if method not in METHODS:
    raise ValueError(
      f"config argument {argument!r}: write 'FOLDER,{'|'.join(METHODS)}'"
    )
  published, words = METHODS[method]
  config = published(folder + words).unlock()
  config.seed = 0
  config.max_steps = min(config.max_steps, 40)
  config.num_mini_batches = config.gradient_accumulation_steps = 1
  config.model.update(dtype='float32', param_dtype='float32', remat='none')
  config.lora.rank = 0
  config.data = dict(
    function='arithmetic:problems',
    kwargs=dict(count=16384, steps=(2, 3), largest=9),
    train_split='train',
    test_split='test',
    system_prompt='',
    prompt_template='',
    prefill='',
    enable_thinking=True,
  )
  config.rollout.update(
    prompts_per_step=8,
    num_generations=8,
    max_prompt_length=40,
    max_completion_length=32,
    buckets=1,
    cache_stages=1,
    end_of_thinking='####',
  )
  config.rollout.sampling.update(temperature=1.0, score_temperature=1.0)
  config.rollout.sampling.update(top_k=0, top_p=1.0)
  if config.rollout.max_thinking_tokens:
    config.rollout.update(max_thinking_tokens=24, max_answer_tokens=6)
    config.rollout.forced_text.update(after_thinking='', on_truncation=' ####')
  for name, reward in config.rewards.items():
    reward.kwargs.update(ANSWERS.get(name, {}))
  weight = config.rewards.get('accuracy', {}).get('weight', 0.0)
  config.rewards.accuracy = dict(ACCURACY, weight=weight)
  if 'length' in config.objective.kwargs:
    config.objective.kwargs.length = 32.0
  decays = {
    'model' if name == 'lora' else name: group.weight_decay
    for name, group in config.optimizer.groups.items()
  }
  if decays:
    config.optimizer.groups = {
      name: dict(pattern=pattern, lr=lr, weight_decay=decays[name])
      for name, pattern, lr in (
        ('model', r'^model\.', 1e-4),
        ('critic', r'^critic\.', 1e-3),
        ('gate', r'^feedback\.[wb]_', 1e-3),
        ('decay', r'^feedback\.decay', 1e-2),
      )
      if name in decays
    }
  if method == 'hyrea':  # without its first stage, RL has to discover spans
    config.model.new_tokens = ('<start-latent>= ####', '<latent>',
                               '<end-latent>')  # fmt: skip
  if method == 'swireasoning':
    config.model.new_tokens = ()
    config.feedback.init_kwargs.update(
      start=' ####', end=' ####', window=4, max_tokens=32
    )
  if method == 'hrpo':
    config.feedback.init_kwargs.r_min = 0.95
  if 'form' in config.feedback.kwargs or method == 'interpolated':
    config.feedback.kwargs.width = 0
  config.optimizer.update(
    schedule='constant', warmup_ratio=0.1, max_grad_norm=1.0
  )
  config.optimizer.update(b1=0.9, b2=0.99)
  config.eval.update(num_prompts=512, every=20, max_thinking_tokens=0)
  config.checkpoint.every = 1000
  config.grader.timeout_s = 60.0
  return config.lock()
