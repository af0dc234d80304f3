"""DAPO on GSM8K: "DAPO: An Open-Source LLM Reinforcement Learning System at
Scale", arXiv 2503.14476.

    python -m experiments.grpo --workdir=runs/dapo \
        --config=experiments/configs/dapo_gsm8k.py:Qwen/Qwen2.5-1.5B-Instruct

The argument is MODEL[,matched|official][,smoke]: the run of grpo_gsm8k.py with
DAPO's four changes, a higher upper clip, the mean over tokens, prompts sampled
until enough groups have uneven rewards, and a penalty before the length limit;
`official` has its group of 16 as well. The clip is inert with one update a
rollout; with plain tokens --config.num_mini_batches=4 makes it matter. DAPO
itself
is run on AIME with another model: no number to expect. Not run at that size
here.
"""

from ml_collections import ConfigDict

from . import grpo_gsm8k, rl


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (preset,), smoke = rl.parsed(argument, ['matched', 'official'])
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
  return rl.finished(config, smoke)
