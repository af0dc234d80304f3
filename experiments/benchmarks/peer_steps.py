"""The steps of other libraries, which `experiments.benchmarks.peers` times.

Runs in a process of its own, by the python that has the library, so this file
imports nothing of the project. Sources of the settings: trl 1.16.0,
trl/trainer/grpo_config.py and sft_config.py; google-tunix 0.1.7,
tunix/generate/sampler.py. Of TRL, what its users set is equal to ours (all
parameters in float32, AdamW, constant learning rate, no gradient
checkpointing, no KL term), the rest is its default. Packing is 'wrapped': the
default needs flash attention, and without it its rows attend to one another.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any


class Gate:
  """Where a process waits at the end of each step until `peers` reads a line
  from its standard output and writes one to its standard input."""

  def __init__(self):
    self._out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print is not for the pipe

  def __call__(self, **facts: Any) -> None:
    facts['peak, MiB'] = peak_mib()
    print(json.dumps(facts), file=self._out, flush=True)
    if not sys.stdin.readline():
      sys.exit()  # measured enough


def peak_mib() -> float:
  """The peak memory of this process."""
  status = Path('/proc/self/status')
  # Linux's ru_maxrss includes the memory of the parent at the fork.
  if status.exists():
    return int(status.read_text().partition('VmHWM:')[2].split()[0]) / 2**10
  unit = 2**20 if sys.platform == 'darwin' else 2**10
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main(path: str) -> None:
  """Makes steps of `what` until no more are asked for. `path`: the options."""
  flags, gate = json.loads(Path(path).read_text()), Gate()
  {'grpo': grpo, 'sft': sft, 'decode': decode}[flags['what']](flags, gate)


def grpo(flags: dict, gate: Gate) -> None:
  """Steps of TRL's GRPOTrainer."""
  from datasets import Dataset
  from trl import GRPOConfig, GRPOTrainer  # pyright: ignore

  rows = flags['prompts'] * flags['group']
  args = GRPOConfig(
    **_trainer_options(flags, rows),
    learning_rate=1e-6,
    beta=0.0,
    num_iterations=1,
    steps_per_generation=1,
    num_generations=flags['group'],
    max_completion_length=flags['tokens'],
    temperature=1.0,
  )
  trainer = GRPOTrainer(
    flags['model'],
    args=args,
    reward_funcs=parity,  # pyright: ignore
    train_dataset=Dataset.from_dict({'prompt': flags['texts']}),
    callbacks=[
      _callback(gate, lambda logs, _: rows * logs['completions/mean_length'])
    ],
  )
  trainer.train()


def sft(flags: dict, gate: Gate) -> None:
  """Steps of TRL's SFTTrainer on packed rows."""
  from datasets import Dataset
  from trl import SFTConfig, SFTTrainer  # pyright: ignore

  args = SFTConfig(
    **_trainer_options(flags, flags['rows']),
    learning_rate=2e-5,
    max_length=flags['length'],
    packing=True,
    packing_strategy='wrapped',
  )
  trainer = SFTTrainer(
    flags['model'],
    args=args,
    train_dataset=Dataset.from_dict({'text': flags['documents']}),
    callbacks=[_callback(gate, lambda logs, step: logs['num_tokens'] / step)],
  )
  trainer.train()


def decode(flags: dict, gate: Gate) -> None:
  """Greedy rollouts of google-tunix's sampler, of which no row ends."""
  from transformers import AutoTokenizer
  from tunix.generate import sampler as sampling  # pyright: ignore
  from tunix.models.llama3 import model, params  # pyright: ignore

  config = json.loads(Path(flags['model'], 'config.json').read_text())
  sizes = {
    'num_layers': config['num_hidden_layers'],
    'num_kv_heads': config['num_key_value_heads'],
    'head_dim': config['head_dim'],
  }
  network = params.create_model_from_safe_tensors(
    flags['model'],
    model.ModelConfig(
      **sizes,
      vocab_size=config['vocab_size'],
      embed_dim=config['hidden_size'],
      hidden_dim=config['intermediate_size'],
      num_heads=config['num_attention_heads'],
      rope_theta=config['rope_theta'],
      norm_eps=config['rms_norm_eps'],
      weight_tying=config['tie_word_embeddings'],
    ),
  )
  slots = flags['prompt'] + flags['tokens']
  sampler = sampling.Sampler(
    network,
    AutoTokenizer.from_pretrained(flags['model']),
    sampling.CacheConfig(cache_size=slots, **sizes),
  )
  tokens = []
  while True:
    gate(tokens=sum(map(len, tokens)), ids=tokens)
    out = sampler(
      flags['texts'][: flags['batch']],
      max_generation_steps=flags['tokens'],
      max_prompt_length=flags['prompt'],
      eos_tokens=[-1],
    )
    tokens = [ids.tolist() for ids in out.tokens]


def parity(
  completions: list[str], completion_ids: list[list[int]], **_: Any
) -> list[float]:
  """A reward that differs within a group, for both sides."""
  return [float(ids[0] % 2) for ids in completion_ids]


def _trainer_options(flags: dict, rows: int) -> dict[str, Any]:
  return dict(
    output_dir=flags['workdir'],
    per_device_train_batch_size=rows,
    gradient_accumulation_steps=1,
    gradient_checkpointing=False,
    max_steps=10**6,
    lr_scheduler_type='constant',
    logging_steps=1,
    save_strategy='no',
    report_to='none',
    disable_tqdm=True,
    bf16=False,
    use_cpu=flags['cpu'],
    model_init_kwargs={'dtype': 'float32'},
    dataloader_pin_memory=False,
  )


def _callback(gate: Gate, tokens: Any) -> Any:
  from transformers import TrainerCallback

  class Step(TrainerCallback):
    """Waits before the first step and after the log of each."""

    def on_train_begin(self, *_, **__):
      gate(tokens=0)

    def on_log(self, args, state, control, logs: dict, **_):
      gate(tokens=tokens(logs, state.global_step))

  return Step()
