"""The smallest run of Latent Reasoning Tuning that shows everything. The
argument is that of lrt_arithmetic.py: BASE,sft|rl[,BACKBONE]."""

from pathlib import Path

from ml_collections import ConfigDict

from experiments.configs import lrt_arithmetic

TRIPLES = Path(__file__).with_name('triples.jsonl')


def get_config(argument: str) -> ConfigDict:
  config = lrt_arithmetic.get_config(argument).unlock()
  config.steps = 4
  config.mesh.update(fsdp=2, tensor=2)
  config.data.of = dict(count=16, steps=(1, 2), largest=20)
  config.rollout.update(prompts=4, prompt_length=64, max_tokens=8)
  config.rollout.closing.neither = ''
  config.feedback.initial.update(latents=3, reads='last')
  config.rewards = dict(
    digits=dict(
      function='tests.experiments.rewards:tied_digits', weight=1.0, kwargs={}
    )
  )
  config.grader.workers = 1
  for group in config.optimizer.groups.values():
    group.lr = 3e-3
  config.optimizer.update(schedule='constant', warmup=0.0)
  config.eval.update(prompts=0, every=2)
  config.checkpoint.every = 1
  if config.rollout.group == 1:
    config.data.triples = str(TRIPLES)
    config.micro_batches = 2
  else:
    config.rollout.group = 4
  return config.lock()
