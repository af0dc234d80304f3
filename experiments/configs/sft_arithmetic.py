"""A short warm start of a small model on arithmetic word problems.

    python -m experiments.sft --workdir=runs/sft \
        --config=experiments/configs/sft_arithmetic.py:FOLDER

The argument is the model's folder. Part of `make quickstart`, which makes one;
half a minute on two CPU cores, and about a third of the answers right.
"""

from ml_collections import ConfigDict


def get_config(argument: str) -> ConfigDict:
  config = ConfigDict()
  config.seed = 0
  config.steps = 250
  config.batch = 64
  config.micro_batches = 1
  config.prompt_length = 32
  config.max_tokens = 24
  config.model = dict(source=argument, dtype='float32', remat='none')
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  config.data = dict(
    source='arithmetic:problems',
    of=dict(count=8192, steps=(1, 2), largest=20),
    train='train',
    system='',
  )
  config.optimizer = dict(
    groups=dict(all=dict(pattern='', lr=2e-3, weight_decay=0.01)),
    schedule='cosine',
    warmup=0.1,
    b1=0.9,
    b2=0.99,
    clip=1.0,
  )
  return config.lock()
