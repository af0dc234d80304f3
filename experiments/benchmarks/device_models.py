"""What experiments/benchmarks/device.py measures: sizes, random models and the
rollouts of these."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hybrid_latent.models.transformer import (
  Transformer,
  TransformerConfig,
  unstack,
)
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.ops.thinking import stop_rule
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
  """Why a part cannot run here."""


class Sizes(NamedTuple):
  """What is measured."""

  model: TransformerConfig  # whose speed is measured
  agreeing: TransformerConfig  # with which rollout and rescoring are compared
  # dtype and matmul precision of each comparison; None is jax's default, which
  # is TF32 for float32 on Hopper
  precisions: tuple[tuple[str, str | None], ...]
  batches: tuple[int, ...]
  prompt: int  # tokens
  tokens: int  # that a rollout writes
  update: tuple[int, int]  # rows, and tokens of each
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
  """Random weights, made where they will lie."""

  def make(key):
    cast = lambda x: x.astype(param_dtype)
    return jax.tree.map(cast, Transformer(config, key))

  return jax.jit(make)(jax.random.key(0))


def random_prompt(sizes: Sizes, batch: int) -> Prompt:
  """Random tokens, no padding."""
  shape = batch, sizes.prompt
  tokens = jax.random.randint(jax.random.key(2), shape, 0, 100)
  return Prompt(tokens, jnp.ones(shape, bool), jnp.arange(batch))


def rollout_program(
  sizes: Sizes,
  policy: Policy,
  feedback: Feedback,
  prompt: Prompt,
  greedy: bool = True,
) -> tuple[Callable[..., Trajectory], tuple[PyTree, ...]]:
  """A rollout in which no row ends, and its arguments, `stop` the last."""

  @jax.jit
  def run(policy, prompt, key, how, stop):
    ready = policy._replace(model=unstack(policy.model))
    return rollout(
      ready,
      feedback,
      prompt,
      key,
      sampling=how,
      stop=stop,
      max_steps=sizes.tokens,
    )

  stop = stop_rule([], sizes.tokens)
  how = sampling(greedy=greedy, top_k=0 if greedy else 50)
  return run, (policy, prompt, jax.random.key(0), how, stop)
