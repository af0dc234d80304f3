"""Latent Reasoning Tuning on arithmetic word problems, small enough for two CPU
cores.

    python -m experiments.lrt --workdir=runs/lrt_sft \
        --config=lrt_arithmetic:BASE,sft,BACKBONE \
        --config.data.sft_answers_dir=runs/triples

The argument is BASE,STAGE[,BACKBONE]: a model that thinks in text before it
answers (sft_arithmetic.py's `thinking`); `sft`, `rl`, or `words`, which is the
base itself, for experiments.generate, studies.cot_ablation and evaluate; and
the folder of a small model whose layers initialize a new reasoner. With
`shorter_better` or `lc_r1` experiments.grpo trains the base itself to think
less. Numbers to expect: RESULTS.md, whose runs on this task were of 9b9bf9e;
`python -m experiments.studies.lrt` compares the same on a smaller task.
"""

from ml_collections import ConfigDict

from . import lrt, rl_arithmetic, sft_arithmetic

CLOSING = '</think>'
STAGES = 'words', 'sft', 'rl'
SHORTER = 'shorter_better', 'lc_r1'


def get_config(argument: str) -> ConfigDict:
  base, stage, backbone = [*argument.split(','), '', ''][:3]
  if stage not in (*STAGES, *SHORTER):
    raise ValueError(
      f"config argument {argument!r}: write 'BASE,STAGE[,BACKBONE]', where "
      f'STAGE is one of {[*STAGES, *SHORTER]}'
    )
  thinks = sft_arithmetic.get_config(f'{base},thinking')
  if stage in SHORTER:
    return shorter(base, stage, thinks)
  config = lrt.defaults(base, stage)
  small = rl_arithmetic.get_config(f'{base},grpo')
  config.seed = 0
  config.model.update(small.model)
  config.data = dict(
    thinks.data, sft_answers_dir='', sft_answers_task='generated'
  )
  del config.data.step_entropy_dir
  config.rewards = small.rewards
  config.grader, config.eval = small.grader, small.eval
  config.checkpoint = small.checkpoint
  config.feedback.init_kwargs.update(
    backbone=backbone, latents=16, closing=CLOSING
  )
  # With the last hidden state alone as input it learned nothing here.
  config.feedback.init_kwargs.reads = 'prompt'
  config.rollout.update(max_prompt_length=thinks.rollout.max_prompt_length)
  config.rollout.update(max_completion_length=16, buckets=1, logits_chunk=16)
  config.rollout.forced_text.update(
    on_truncation=f'{CLOSING} ####', on_budget=' ####', no_thinking=CLOSING
  )
  config.evaluate.update(budgets=(32, 64, 192), answer_reserve=12)
  config.gradient_accumulation_steps = 1
  sft = stage == 'sft'
  config.max_steps = 1000 if sft else 50
  config.rollout.update(prompts_per_step=32)
  for group in config.optimizer.groups.values():
    group.lr = 2e-3 if sft else 1e-4  # higher: the backbone is random
  config.eval.update(num_prompts=512, every=200 if sft else 50)
  if stage == 'words':
    config.feedback = small.feedback
    config.rollout.update(
      max_completion_length=thinks.rollout.max_completion_length,
      prompts_per_step=256,
      num_generations=1,
    )
  return config.lock()


def shorter(base: str, method: str, thinks: ConfigDict) -> ConfigDict:
  """Shorter thinking, by RL of the base itself."""
  config = rl_arithmetic.get_config(f'{base},{method}').unlock()
  config.data = dict(thinks.data)
  del config.data.step_entropy_dir
  rollout = thinks.rollout
  for name in 'max_prompt_length', 'max_completion_length', 'end_of_thinking':
    config.rollout[name] = rollout[name]
  config.eval.every, config.export = 40, True
  return config.lock()
