"""A short warm start of a small model on arithmetic word problems.

    python -m experiments.sft --workdir=runs/sft \
        --config=experiments/configs/sft_arithmetic.py:FOLDER

The argument is the model's folder. Half of the solutions show their work and
half state the answer alone, as mixed data do: the model learns both ways, and
is left to find out by reinforcement which of them pays. Part of `make
quickstart`, which makes the model; about a minute on two CPU cores.
"""

from ml_collections import ConfigDict


def get_config(argument: str) -> ConfigDict:
  config = ConfigDict()
  config.seed = 0
  config.steps = 400
  config.batch = 64
  config.micro_batches = 1
  config.prompt_length = 40
  config.max_tokens = 28
  config.chunk = 128  # positions whose logits exist at a time
  config.model = dict(
    source=argument,
    dtype='float32',
    param_dtype='float32',
    remat='none',
    new_tokens=(),
  )
  config.mesh = dict(data=-1, fsdp=1, tensor=1, sequence=1)
  config.data = dict(
    source='arithmetic:problems',
    of=dict(count=16384, steps=(2, 3), largest=9, worked=0.5),
    train='train',
    system='',
  )
  config.optimizer = dict(
    groups=dict(all=dict(pattern='', lr=3e-3, weight_decay=0.01)),
    schedule='cosine',
    warmup=0.1,
    b1=0.9,
    b2=0.99,
    clip=1.0,
  )
  config.checkpoint = dict(every=1000, keep=1)
  return config.lock()
