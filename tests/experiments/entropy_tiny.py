"""What experiments.step_entropy reads, small: a part of a config for SFT."""

from ml_collections import ConfigDict

ROWS, SIZE = 22, 8  # of the data, and of a part


def get_config(argument: str) -> ConfigDict:
  config = ConfigDict()
  config.model = dict(
    source=argument,
    dtype='float32',
    param_dtype='float32',
    remat='none',
    new_tokens=('<start-latent>', '<latent>', '<end-latent>'),
  )
  config.mesh = dict(data=-1, fsdp=2, tensor=2, sequence=1)
  config.data = dict(
    source='arithmetic:problems',
    of=dict(count=ROWS, steps=(1, 4), worked=0.8),
    train='train',
    test='test',
    system='',
    template='',
    prefill='',
    enable_thinking=True,
    scored='',
  )
  config.curriculum = dict(function='hyrea:hyrea', kwargs=dict(slots=2))
  config.update(batch=4, length=96, buckets=3, chunk=16)
  config.entropy = dict(measure='mean', rows_per_part=SIZE, shown=2)
  return config.lock()
