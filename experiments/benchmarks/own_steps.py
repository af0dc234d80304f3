"""Our steps that `experiments.benchmarks.peers` times, those of the trainers
themselves; see peer_steps.py for the other side."""

import dataclasses
import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from hybrid_latent.data.chat import word_tokenizer
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.models.llama import SIZES
from hybrid_latent.policy import Policy
from hybrid_latent.types import Prompt

from .. import PACKAGE
from .. import grpo as grpo_trainer
from .. import sft as sft_trainer
from ..configs import rl
from ..configs import sft as sft_config
from ..new_model import new_model
from ..training.cli import Config
from ..training.loop import Loop
from .device_models import rollout_program
from .peer_steps import Gate
from .timing import about

NEVER = 10**6  # steps
SMALL = dict(vocab=512, width=64, layers=2, heads=2, kv_heads=1, head_dim=32,
             mlp=128)  # fmt: skip


def main(path: str) -> None:
  """Makes steps of `what` until no more are asked for. `path`: the options."""
  flags, gate = json.loads(Path(path).read_text()), Gate()
  {'grpo': grpo, 'sft': sft, 'decode': decode}[flags['what']](flags, gate)


def write_model(path: str) -> None:
  """Writes the model of both sides, and prints `about` as JSON."""
  flags, config = json.loads(Path(path).read_text()), SIZES['smollm2-135m']
  if flags['small']:
    config = dataclasses.replace(config, **SMALL)
  new_model(Path(flags['model']), _tokenizer(config.vocab), config)
  print(json.dumps(about()))


def rows(split: str, **columns: Sequence[str]) -> list[dict[str, str]]:
  """The rows of both configs: `columns` transposed."""
  return [
    dict(zip(columns, row, strict=True))
    for row in zip(*columns.values(), strict=True)
  ]


def grpo(flags: dict, gate: Gate) -> None:
  """Steps of experiments.grpo."""
  config: Any = rl.defaults(flags['model'])
  rl.full_finetune(config, lr=1e-6)
  texts = flags['texts']
  _update(config, question=texts, answer=texts)
  config.rollout.update(
    prompts_per_step=flags['prompts'],
    num_generations=flags['group'],
    max_prompt_length=flags['prompt'],
    max_completion_length=flags['tokens'],
    buckets=1,
    end_of_thinking='',
  )
  config.num_logged_completions = 0
  _train(grpo_trainer, config, flags, gate, 'completions/tokens')


def sft(flags: dict, gate: Gate) -> None:
  """Steps of experiments.sft on packed rows."""
  config = sft_config.defaults(flags['model'])
  _update(config, question=flags['questions'], answer=flags['answers'])
  config.batch_size, config.max_length = flags['rows'], flags['length']
  config.packing, config.buckets = True, 1
  _train(sft_trainer, config, flags, gate, 'tokens')


def decode(flags: dict, gate: Gate) -> None:
  """Greedy rollouts, of which no row ends."""
  loaded = pretrained(flags['model'])
  tokenizer: Any = loaded.tokenizer
  texts = flags['texts'][: flags['batch']]
  tokens = jnp.asarray(tokenizer(texts)['input_ids'])
  prompt = Prompt(tokens, tokens >= 0, jnp.arange(len(texts)))
  run, arguments = rollout_program(
    Policy(loaded.model), discrete(), prompt, flags['tokens'], greedy=True
  )
  tokens = []
  while True:
    gate(tokens=sum(map(len, tokens)), ids=tokens)
    tokens = jax.block_until_ready(run(*arguments)).tokens.tolist()


def _tokenizer(vocab: int) -> Any:
  """One token per letter, with or without the space before it."""
  letters = [f' {letter}' for letter in string.ascii_lowercase]
  rest = vocab - len(word_tokenizer(letters))
  return word_tokenizer([*letters, *(f' {i}' for i in range(rest))])


def _update(config: Config, **columns: Sequence[str]) -> None:
  """What both configs have in common."""
  config.max_steps = config.checkpoint.every = NEVER
  config.gradient_accumulation_steps = 1
  config.model.update(dtype='float32', param_dtype='float32', remat='none')
  config.data.update(
    function=f'{PACKAGE}.benchmarks.own_steps:rows',
    prompt_template='{question}',
  )
  config.data.kwargs = columns
  config.rewards = dict(
    parity=dict(
      function=f'{PACKAGE}.benchmarks.peer_steps:parity', weight=1.0, kwargs={}
    )
  )
  config.grader.workers = 1
  config.eval.num_prompts = 0
  config.trackers = ()


def _train(
  trainer: Any, config: Config, flags: dict, gate: Gate, tokens: str
) -> None:
  """The trainer, in whose loop each step ends at the gate, where nothing that
  it has dispatched still runs."""

  class GatedLoop(Loop):
    def settle(self) -> bool:
      kept = super().settle()
      jax.block_until_ready(jax.live_arrays())
      gate(tokens=self.metrics.get(tokens, 0))
      return kept

  trainer.Loop = GatedLoop
  trainer.train(config.lock(), flags['workdir'])
