r"""PPO on GSM8K as HRPO's baseline. PPO: arXiv 1707.06347; HRPO: arXiv
2505.18454, table 1, which has no details of PPO.

    python -m experiments.grpo --workdir=runs/ppo \
        --config=ppo_gsm8k:Qwen/Qwen2.5-1.5B-Instruct

The argument is MODEL[,matched|official][,smoke]: `matched` is grpo_gsm8k.py
with verl's defaults of PPO's loss and advantages, and a critic that is the same
model with separate adapters; `official` is TRL's experimental PPO, full
fine-tuning of both with four passes over every rollout.
Paper: 1.5B 0.694 accuracy, 3B 0.819. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import grpo_gsm8k, rl


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (preset,), smoke = rl.parse_arg(argument, ['matched', 'official'])
  config = grpo_gsm8k.get_config(f'{source},{preset}').unlock()
  config.critic.enabled = True
  config.objective.kwargs = dict(
    aggregation='token', clip_range=(0.2, 0.2), value_coef=0.1, value_clip=0.2
  )
  config.advantage = dict(
    function='gae:gae', kwargs=dict(gamma=1.0, lam=1.0, whiten=True)
  )
  config.reward_kl.update(beta=0.001, estimator='k1')
  config.optimizer.groups.critic = dict(
    pattern=r'^critic\.(model\..*\.lora\.|value_head)',
    lr=1e-5,
    weight_decay=0.1,
  )
  if preset == 'official':
    rl.full_finetune(config, lr=3e-6)
    config.optimizer.groups.critic = dict(
      pattern=r'^critic\.', lr=3e-6, weight_decay=0.0
    )
    config.max_steps, config.num_iterations = (
      116,
      4,
    )  # 7473 prompts, 64 per step
    config.rollout.update(prompts_per_step=64, num_generations=1)
    config.rollout.sampling.update(temperature=0.7, score_temperature=0.7)
    config.advantage.kwargs.lam = 0.95
    config.reward_kl.beta = 0.05
  return rl.finalize(config, smoke)
