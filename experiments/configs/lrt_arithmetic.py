"""Latent Reasoning Tuning on arithmetic word problems, small enough for two CPU
cores.

    python -m experiments.lrt --workdir=runs/lrt_sft \
        --config=experiments/configs/lrt_arithmetic.py:BASE,sft,BACKBONE \
        --config.data.triples=runs/triples

The argument is BASE,STAGE[,BACKBONE]: a model that thinks in words before it
answers (sft_arithmetic.py's `thinking`); `sft`, `rl`, or `words`, which is the
base itself, for experiments.generate, fragments and evaluate; and the folder of
a small model whose layers a new reasoner begins with. With `shorter_better` or
`lc_r1` experiments.grpo teaches the base itself to think less. All of it is one
command, `python -m experiments.studies.latent_thinking`. Numbers to expect:
RESULTS.md.
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
  config.data = dict(thinks.data, triples='', triples_task='generated')
  del config.data.scored
  config.rewards = small.rewards
  config.grader, config.eval = small.grader, small.eval
  config.checkpoint = small.checkpoint
  config.feedback.initial.update(backbone=backbone, latents=16, closing=CLOSING)
  config.feedback.initial.reads = 'prompt'  # the last state teaches it nothing
  config.rollout.update(prompt_length=thinks.rollout.prompt_length)
  config.rollout.update(max_tokens=16, buckets=1, chunk=16)
  config.rollout.closing.update(
    cut=f'{CLOSING} ####', late=' ####', neither=CLOSING
  )
  config.evaluate.update(budgets=(32, 64, 192), reserved=12)
  config.micro_batches = 1
  sft = stage == 'sft'
  config.steps = 1000 if sft else 50
  config.rollout.update(prompts=32)
  for group in config.optimizer.groups.values():
    group.lr = 2e-3 if sft else 1e-4  # its backbone is random
  config.eval.update(prompts=512, every=200 if sft else 50)
  if stage == 'words':
    config.feedback = small.feedback
    config.rollout.update(
      max_tokens=thinks.rollout.max_tokens, prompts=256, group=1
    )
  return config.lock()


def shorter(base: str, method: str, thinks: ConfigDict) -> ConfigDict:
  """Thinking less, by reinforcement of the base itself."""
  config = rl_arithmetic.get_config(f'{base},{method}').unlock()
  config.data = dict(thinks.data)
  del config.data.scored
  rollout = thinks.rollout
  for name in 'prompt_length', 'max_tokens', 'delimiter':
    config.rollout[name] = rollout[name]
  config.eval.every, config.export = 40, True
  return config.lock()
