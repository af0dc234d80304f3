"""Soft Tokens on chains of states whose teacher errs (data/noisy_states.py).

    python -m experiments.sft --workdir=runs/base \
        --config=noisy_states:FOLDER
    python -m experiments.grpo --workdir=runs/soft \
        --config=noisy_states:runs/base/model,soft

The argument is FOLDER[,base|hard|fuzzy|soft]. `base` imitates the teacher on
both tasks, from a new model with `--tokenizer=noisy_states:tokenizer` (width 64
and one layer suffice); the others are RL on the first task, with inputs of the
thinking as in soft_tokens_gsm8k.py: 8 x 32 completions per step, RLOO, reward 1
for a right answer. The norm of the
gradient is not clipped, for which the paper has no value: those of soft
thinking vary by orders of magnitude, and Adam divides by them. Numbers to
expect: RESULTS.md.
"""

from ml_collections import ConfigDict

from . import rl_arithmetic, sft_arithmetic

METHODS = ('base', 'hard', 'fuzzy', 'soft')


def get_config(argument: str) -> ConfigDict:
  folder, _, method = argument.partition(',')
  method = method or 'base'
  if method not in METHODS:
    raise ValueError(
      f"config argument {argument!r}: write 'FOLDER[,{'|'.join(METHODS)}]'"
    )
  if method == 'base':
    config = sft_arithmetic.get_config(f'{folder},cot').unlock()
    del config.data.kwargs
    config.data.kwargs = dict(tasks=('in', 'out'), teacher=True)
    config.max_steps = 1200
    config.batch_size, config.max_length = 8, 120
    config.optimizer.groups.model.lr = 1e-2
  else:
    config = rl_arithmetic.get_config(f'{folder},{method}').unlock()
    del config.data.kwargs
    config.data.kwargs = dict(seen_only=True)
    config.max_steps = 240
    config.rollout.update(prompts_per_step=8, num_generations=32)
    config.rollout.update(max_thinking_tokens=5, max_answer_tokens=2)
    config.rollout.forced_text.on_truncation = ' ####'
    config.rewards = dict(
      accuracy=dict(
        function='hybrid_latent.rewards.answers:exact', weight=1.0, kwargs={}
      )
    )
    config.optimizer.groups.model.lr = 3e-4
    config.optimizer.max_grad_norm = 1e9
  config.data.function = 'noisy_states:problems'
  config.data.kwargs.count = 65536
  config.data.prompt_template = '{question}'
  config.rollout.update(max_prompt_length=4, max_completion_length=10)
  config.eval.num_prompts = 0
  return config.lock()
