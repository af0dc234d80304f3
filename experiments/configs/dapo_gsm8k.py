"""DAPO on GSM8K: "DAPO: An Open-Source LLM Reinforcement Learning System at
Scale", arXiv 2503.14476.

    python -m experiments.grpo --workdir=runs/dapo \
        --config=dapo_gsm8k:Qwen/Qwen2.5-1.5B-Instruct

The argument is MODEL[,matched|official][,smoke]: the run of grpo_gsm8k.py with
DAPO's four changes, a higher upper clip, the mean over tokens, dynamic sampling
until enough groups have unequal rewards, and a penalty before the length limit;
`official` has its group of 16, too. The clip has no effect with one update per
rollout; with plain tokens write --config.num_mini_batches=4. The paper has AIME
and another model: no number to expect. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import grpo_gsm8k, rl


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (preset,), smoke = rl.parse_arg(argument, ['matched', 'official'])
  config = grpo_gsm8k.get_config(f'{source},{preset}').unlock()
  config.objective.kwargs = dict(
    aggregation='token', clip_range=(0.2, 0.28), beta=0.0
  )
  config.rollout.update(dynamic_sampling_max_batches=4, buckets=1)
  if preset == 'official':
    config.rollout.num_generations = 16
  limit = config.rollout.max_completion_length
  config.rewards.overlong = dict(
    function='hybrid_latent.rewards.lengths:soft_overlong',
    weight=1.0,
    kwargs=dict(limit=limit, buffer=limit // 4),
  )
  return rl.finalize(config, smoke)
