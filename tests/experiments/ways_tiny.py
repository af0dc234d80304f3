"""A model that may think, with a network that makes latents for it, and what
asks both; all of them random. The argument is the folder of the model."""

from pathlib import Path

import jax
from ml_collections import ConfigDict

from experiments import serve
from experiments.configs import lrt
from hybrid_latent.data import arithmetic
from hybrid_latent.feedback.prefix import reasoner
from hybrid_latent.formats.export_reasoner import write_reasoner
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.policy import Policy
from tests.experiments import rl_tiny


def get_config(argument: str) -> ConfigDict:
  config = rl_tiny.get_config(f'{argument},grpo').unlock()
  config.feedback = lrt.defaults('', 'rl').feedback
  config.mesh.update(fsdp=1, tensor=1)
  config.data.prefill = '<'
  config.rollout.update(
    prompts_per_step=1,
    max_completion_length=24,
    answer_reserve=8,
    end_of_thinking='e',
  )
  config.rollout.forced_text.update(
    on_truncation='e So', on_budget=' So', no_thinking='ne'
  )
  config.rewards = dict(
    accuracy=dict(
      function='tests.experiments.rewards:a_digit', weight=1.0, kwargs={}
    )
  )
  config.eval.update(
    num_prompts=6,
    num_generations=2,
    sampling=dict(temperature=1.5, greedy=False),
  )
  config.evaluate.update(
    modes=('chain_of_thought', 'no_thinking', 'latent'),
    budgets=(10, 20),
    answer_reserve=4,
    controls=('pause',),
  )
  return config.lock()


def new_reasoner(folder: Path, model: Path, seed: int, latents: int = 3) -> str:
  """The folder of a random reasoner for a model."""
  tokenizer, key = arithmetic.tokenizer(), jax.random.key(seed)
  made = reasoner(
    key,
    Policy(pretrained(model).model),
    tokenizer,
    backbone=str(model),
    latents=latents,
    reads='prompt',
    closing='e',
  )
  write_reasoner(made, folder)
  return str(folder)


def encoders(config: ConfigDict, tokenizer):
  """Those of a server of this config, which has a reasoner."""
  closing = config.rollout.forced_text.no_thinking
  return serve.encoders(config.data, closing, tokenizer, latents=True)
