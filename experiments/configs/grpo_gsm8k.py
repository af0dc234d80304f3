"""GRPO on GSM8K as HRPO's baseline: the same run with plain tokens.

    python -m experiments.grpo --workdir=runs/grpo \
        --config=experiments/configs/grpo_gsm8k.py:Qwen/Qwen2.5-1.5B-Instruct

Everything of hrpo_gsm8k.py but the feedback and its parameters.
"""

from ml_collections import ConfigDict

from experiments.configs import hrpo_gsm8k


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  config = hrpo_gsm8k.get_config(argument).unlock()
  config.feedback = dict(
    function='discrete:discrete', kwargs={}, parameters='', initial={}
  )
  config.optimizer.groups = dict(lora=config.optimizer.groups.lora)
  return config.lock()
