"""Latent Reasoning Tuning on arithmetic word problems, small enough for two CPU
cores.

    python -m experiments.lrt --workdir=runs/lrt_sft \
        --config=experiments/configs/lrt_arithmetic.py:BASE,BACKBONE,sft \
        --config.data.triples=runs/triples

The argument is BASE,BACKBONE,STAGE: a model that thinks in words before it
answers (sft_arithmetic.py's `thinking`), the folder of a small model whose
layers the reasoner begins with (experiments/new_model.py), and sft or rl.
Numbers to expect: RESULTS.md.
"""

from ml_collections import ConfigDict

from experiments.configs import lrt, rl_arithmetic, sft_arithmetic

CLOSING = '</think>'


def get_config(argument: str) -> ConfigDict:
  base, backbone, stage = [*argument.split(','), '', ''][:3]
  if stage not in ('sft', 'rl'):
    raise ValueError(
      f"config argument {argument!r}: write 'BASE,BACKBONE,sft|rl'"
    )
  config = lrt.defaults(base, stage)
  thinks = sft_arithmetic.get_config(f'{base},thinking')
  small = rl_arithmetic.get_config(f'{base},grpo')
  config.seed = 0
  config.model.update(small.model)
  config.data = dict(thinks.data, triples='')
  del config.data.scored
  config.rewards = small.rewards
  config.grader, config.eval = small.grader, small.eval
  config.checkpoint = small.checkpoint
  config.feedback.initial.update(backbone=backbone, latents=16, closing=CLOSING)
  config.rollout.update(prompt_length=thinks.rollout.prompt_length)
  config.rollout.update(max_tokens=16, buckets=1, chunk=16)
  config.rollout.closing.update(cut=f'{CLOSING} ####', late=' ####')
  config.micro_batches = 1
  sft = stage == 'sft'
  config.steps = 1000 if sft else 100
  config.rollout.update(prompts=64 if sft else 32)
  for group in config.optimizer.groups.values():
    group.lr = 1e-3 if sft else 1e-4
  config.eval.update(prompts=512, every=250 if sft else 50)
  return config.lock()
