"""Sizes, random models and their rollouts, for the benchmarks."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hybrid_latent.models import lora
from hybrid_latent.models.transformer import (
  Transformer,
  TransformerConfig,
  unstack,
)
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.ops.thinking import stopping_rule
from hybrid_latent.policy import Policy
from hybrid_latent.rollout import rollout
from hybrid_latent.types import Feedback, Prompt, PyTree, Trajectory

REPEATS = 5
QWEN_1_5B = TransformerConfig(
  vocab=151936,
  width=1536,
  layers=28,
  heads=12,
  kv_heads=2,
  head_dim=128,
  mlp=8960,
  rope_theta=1e6,
  qkv_bias=True,
  family='qwen2',
  dtype='bfloat16',
)
TINY = dataclasses.replace(
  QWEN_1_5B, vocab=128, width=32, layers=2, heads=4, head_dim=8, mlp=48
)


class Unavailable(Exception):
  """A part cannot run on this device; the message is the reason."""


class Sizes(NamedTuple):
  """The sizes of all measurements."""

  model: TransformerConfig  # of the speed measurements
  agreeing: TransformerConfig  # of the comparison of rollout and rescoring
  # dtype and matmul precision of each comparison; None is jax's default, which
  # is TF32 for float32 on Hopper
  precisions: tuple[tuple[str, str | None], ...]
  batches: tuple[int, ...]
  prompt: int  # tokens
  tokens: int  # decoded per row
  update: tuple[int, int]  # rows, tokens per row
  copied: int  # bytes
  attended: tuple[int, int, int, int]  # rows, query heads, positions, width


LARGE = Sizes(
  model=QWEN_1_5B,
  agreeing=dataclasses.replace(
    QWEN_1_5B, vocab=8192, width=512, layers=4, heads=8, head_dim=64, mlp=1408
  ),
  precisions=(('float32', 'highest'), ('float32', None), ('bfloat16', None)),
  batches=(1, 8, 64, 256),
  prompt=128,
  tokens=64,
  update=(16, 512),
  copied=2**30,
  attended=(4, 16, 2048, 128),
)
SMALL = Sizes(
  model=TINY,
  agreeing=TINY,
  precisions=(('float32', None), ('bfloat16', None)),
  batches=(1, 2),
  prompt=8,
  tokens=8,
  update=(2, 16),
  copied=2**20,
  attended=(2, 4, 16, 8),
)


def random_model(config: TransformerConfig, param_dtype: str) -> Transformer:
  """A model with random weights, initialized on the device."""

  def make(key):
    cast = lambda x: x.astype(param_dtype)
    return jax.tree.map(cast, Transformer(config, key))

  return jax.jit(make)(jax.random.key(0))


def random_prompt(sizes: Sizes, batch: int) -> Prompt:
  """Prompts of random tokens without padding."""
  shape = batch, sizes.prompt
  tokens = jax.random.randint(jax.random.key(2), shape, 0, 100)
  return Prompt(tokens, jnp.ones(shape, bool), jnp.arange(batch))


def rollout_program(
  policy: Policy,
  feedback: Feedback,
  prompt: Prompt,
  max_steps: int,
  **sampling_params,
) -> tuple[Callable[..., Trajectory], tuple[PyTree, ...]]:
  """A jitted rollout of `max_steps` tokens per row, and its arguments, `stop`
  the last. No row ends earlier: there is no stop token and no delimiter."""

  @jax.jit
  def run(policy, prompt, key, sampling, stop):
    return rollout(
      policy._replace(model=unstack(lora.merge(policy.model))),
      feedback,
      prompt,
      key,
      sampling=sampling,
      stop=stop,
      max_steps=max_steps,
    )

  stop = stopping_rule([], max_steps)
  rest = prompt, jax.random.key(0), sampling(**sampling_params), stop
  return run, (policy, *rest)
