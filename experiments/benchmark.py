r"""Decoding speed beside transformers' generate, and what latents cost.

    python -m experiments.benchmark [--model=smollm2-135m] [--batches=1,8,32]

Prints Markdown tables: tokens a second (prefill included) at each batch size,
medians over interleaved repetitions in one process, so that a noisy machine is
noisy for both; and the time of an HRPO rollout over that of a discrete one
with the same sampling. torch is needed for the first table only.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.policies import stop_rule, with_tokenizer
from experiments.port import torch_model
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.gated import Gate, gated
from hybrid_latent.formats.pretrained import local_path, pretrained
from hybrid_latent.models.transformer import unstack
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.rollout import rollout
from hybrid_latent.types import Prompt

HRPO_SAMPLING = {'temperature': 0.5, 'top_k': 50}


def main() -> None:
  """Both tables."""
  flags = _flags()
  batches = [int(b) for b in flags.batches.split(',')]
  size = {'prompt': flags.prompt, 'tokens': flags.tokens}
  for dtype in flags.dtypes.split(','):
    source = pretrained(flags.model, dtype=dtype)
    tokenizer = with_tokenizer(source, flags.model)
    stop = stop_rule(
      tokenizer, source.model.config.vocab, '####', 10**6, source.generation
    )
    stop = stop._replace(tokens=jnp.full_like(stop.tokens, -1))  # never
    gate = Gate(jax.random.key(0), source.model.config.width)
    policy = Policy(source.model, gate)
    ours = partial(_ours, policy, stop, **size)
    print(f'\n{flags.model}, {dtype}: prompt {flags.prompt}, then '
          f'{flags.tokens} tokens a row', flush=True)  # fmt: skip
    if importlib.util.find_spec('torch'):
      theirs = partial(
        _theirs, torch_model(local_path(flags.model), dtype), **size
      )
      print('| batch | ours, tokens/s | transformers, tokens/s | ratio |')
      print('|---:|---:|---:|---:|')
      for b in batches:
        runs = {'ours': ours(discrete(), b, {'greedy': True}),
                'theirs': theirs(b)}  # fmt: skip
        times = interleaved(runs, flags.repeats)
        us, them = (b * flags.tokens / times[name] for name in runs)
        print(f'| {b} | {us:.0f} | {them:.0f} | {us / them:.2f} |', flush=True)
    print('\n| batch | discrete, s | HRPO, s | ratio |')
    print('|---:|---:|---:|---:|')
    for b in batches:
      runs = {'discrete': ours(discrete(), b, HRPO_SAMPLING),
              'hrpo': ours(gated(), b, HRPO_SAMPLING)}  # fmt: skip
      times = interleaved(runs, flags.repeats)
      plain, latent = times.values()
      print(f'| {b} | {plain:.2f} | {latent:.2f} | {latent / plain:.3f} |',
            flush=True)  # fmt: skip


def interleaved(
  runs: dict[str, Callable[[], object]], repeats: int
) -> dict[str, float]:
  """Median seconds of each, one after the other, `repeats` times."""
  seconds = {name: [] for name in runs}
  for run in runs.values():
    run()  # compiles, or warms caches
  for _ in range(repeats):
    for name, run in runs.items():
      began = time.perf_counter()
      run()
      seconds[name].append(time.perf_counter() - began)
  return {name: statistics.median(some) for name, some in seconds.items()}


def _ours(policy, stop, feedback, batch, how, *, prompt, tokens):
  @jax.jit
  def run(policy, prompt, key, sampling):
    ready = Policy(unstack(policy.model), policy.feedback)
    return rollout(
      ready,
      feedback,
      prompt,
      key,
      sampling=sampling,
      stop=stop,
      max_steps=tokens,
    )

  data = Prompt(
    jnp.asarray(_tokens(batch, prompt)),
    jnp.ones((batch, prompt), bool),
    jnp.arange(batch),
  )
  rest = data, jax.random.key(0), sampling(**how)
  return lambda: jax.block_until_ready(run(policy, *rest))


def _theirs(network, batch, *, prompt, tokens):
  import torch

  data = torch.tensor(_tokens(batch, prompt)).long()

  @torch.inference_mode()
  def run():
    return network.generate(  # pyright: ignore
      data,
      attention_mask=torch.ones_like(data),
      max_new_tokens=tokens,
      min_new_tokens=tokens,
      do_sample=False,
      pad_token_id=0,
    )

  return run


def _tokens(batch, prompt):
  return np.random.default_rng(0).integers(100, 10_000, (batch, prompt))


def _flags() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description='Decoding speed.')
  parser.add_argument('--model', default='smollm2-135m')
  parser.add_argument('--dtypes', default='float32,bfloat16')
  parser.add_argument('--batches', default='1,8,32')
  parser.add_argument('--prompt', type=int, default=128, help='tokens')
  parser.add_argument('--tokens', type=int, default=64, help='drawn a row')
  parser.add_argument('--repeats', type=int, default=5)
  return parser.parse_args()


if __name__ == '__main__':
  main()
