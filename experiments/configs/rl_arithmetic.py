"""HRPO or GRPO on arithmetic word problems, small enough for two CPU cores.

    python -m experiments.grpo --workdir=runs/hrpo \
        --config=experiments/configs/rl_arithmetic.py:runs/sft/model,hrpo

The argument is FOLDER,hrpo or FOLDER,grpo. The method is that of
hrpo_gsm8k.py; model, data and rates are smaller, faster and larger: a third of
a million parameters are trained whole, without adapters, and the gate starts
wider open (r_min 0.95), so that a short run shows it. Part of `make
quickstart`; half a minute on two CPU cores. Numbers to expect: RESULTS.md.
"""

from ml_collections import ConfigDict

from experiments.configs import grpo_gsm8k, hrpo_gsm8k


def get_config(argument: str) -> ConfigDict:
  folder, _, method = argument.rpartition(',')
  methods = {'hrpo': hrpo_gsm8k, 'grpo': grpo_gsm8k}
  if method not in methods:
    raise ValueError(f"config argument {argument!r}: write 'FOLDER,hrpo|grpo'")
  config = methods[method].get_config(folder).unlock()
  config.seed = 0
  config.steps = 40
  config.micro_batches = 1
  config.model.update(dtype='float32', param_dtype='float32', remat='none')
  config.lora.rank = 0
  config.data = dict(
    source='arithmetic:problems',
    of=dict(count=16384, steps=(2, 3), largest=9),
    train='train',
    test='test',
    system='',
  )
  config.rollout.update(
    prompts=8, group=8, prompt_length=40, max_tokens=32, buckets=1
  )
  config.rollout.sampling.update(temperature=1.0, top_k=0)
  rate = dict(lr=1e-4, weight_decay=0.0)
  config.optimizer.groups = dict(model=dict(pattern='^model', **rate))
  if method == 'hrpo':
    config.feedback.initial.r_min = 0.95
    config.feedback.kwargs.width = 0
    config.optimizer.groups.gate = dict(
      pattern=r'^feedback\.[wb]_', lr=1e-3, weight_decay=0.0
    )
    config.optimizer.groups.decay = dict(
      pattern=r'^feedback\.decay', lr=1e-2, weight_decay=0.0
    )
  config.optimizer.update(schedule='constant', clip=1.0)
  config.rewards.gsm8k.kwargs.parser = 'fixed'
  config.eval = dict(prompts=512, every=20, greedy=True)
  config.checkpoint_every = 1000
  return config.lock()
