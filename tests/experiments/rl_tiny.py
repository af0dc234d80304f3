"""The smallest run that shows everything. The argument is that of
rl_arithmetic.py."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.configs import hrpo_gsm8k, rl_arithmetic
from hybrid_latent.objectives.base import Advantages


def get_config(argument: str) -> ConfigDict:
  config = rl_arithmetic.get_config(argument).unlock()
  config.max_steps = 4
  config.mesh.update(fsdp=2, tensor=2)
  config.lora.update(rank=4, alpha=8.0)
  config.data.kwargs = dict(count=16, steps=(1, 2), largest=20)
  config.rollout.update(
    prompts_per_step=2, num_generations=4, max_completion_length=8
  )
  config.rewards = dict(
    digits=dict(
      function='tests.experiments.rewards:digits', weight=2.0, kwargs={}
    )
  )
  config.grader.workers = 1
  published = hrpo_gsm8k.get_config().optimizer.groups
  config.optimizer.groups = {
    name: dict(pattern=published[name].pattern, lr=1e-2, weight_decay=0.1)
    for name in ('lora', 'gate', 'decay')
    if name == 'lora' or argument.endswith('hrpo')
  }
  config.eval.update(num_prompts=0, every=2)
  config.checkpoint.every = 1
  return config.lock()


def mistaken(judged, group, **_):
  """Advantages, if it were not for a 0 / 0."""
  return Advantages(jnp.full(judged.loss_mask.shape, jnp.nan))
