"""RLOO on GSM8K: "Back to Basics", arXiv 2402.14740, as in TRL.

    python -m experiments.grpo --workdir=runs/rloo \
        --config=rloo_gsm8k:Qwen/Qwen2.5-1.5B-Instruct

The argument is MODEL[,matched|official][,smoke]: data, optimizer and prompts of
HRPO, or TRL's defaults, as in grpo_gsm8k.py. The ratio is that of the whole
completion, the KL is in the reward. No paper has this on GSM8K; Soft Tokens'
RLOO is soft_tokens_gsm8k:MODEL,hard. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import grpo_gsm8k, rl

BETAS = {'matched': 0.005, 'official': 0.05}


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (preset,), smoke = rl.parse_arg(argument, list(BETAS))
  config = grpo_gsm8k.get_config(f'{source},{preset}').unlock()
  config.objective.kwargs = dict(
    aggregation='sequence', level='sequence-sum', clip_range=(0.2, 0.2)
  )
  config.advantage = dict(function='advantages:leave_one_out', kwargs={})
  config.reward_kl.update(beta=BETAS[preset], estimator='k1')
  if preset == 'official':
    config.rollout.num_generations = 2
  return rl.finalize(config, smoke)
