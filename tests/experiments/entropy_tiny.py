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
    attention=None,
    new_tokens=('<start-latent>', '<latent>', '<end-latent>'),
  )
  config.mesh = dict(data=-1, fsdp=2, tensor=2, sequence=1)
  config.data = dict(
    function='arithmetic:problems',
    kwargs=dict(count=ROWS, steps=(1, 4), worked=0.8),
    train_split='train',
    test_split='test',
    system_prompt='',
    prompt_template='',
    prefill='',
    enable_thinking=True,
    step_entropy_dir='',
  )
  config.curriculum = dict(function='hyrea:hyrea', kwargs=dict(num_latents=2))
  config.update(batch_size=4, max_length=96, buckets=3, logits_chunk=16)
  config.entropy = dict(
    aggregation='mean', rows_per_shard=SIZE, example_steps=2
  )
  return config.lock()
