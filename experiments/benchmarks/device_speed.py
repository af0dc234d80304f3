"""Speed on an accelerator: five parts of device.py."""

import dataclasses
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.ops.soft import logits_and_mixture
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import rescore
from hybrid_latent.types import Trajectory

from ..aot.targets import data_sheet
from .device_models import (
  REPEATS,
  Sizes,
  random_model,
  random_prompt,
  rollout_program,
)
from .feedbacks import feedbacks
from .timing import Program, compiled, interleaved


def environment(sizes: Sizes) -> dict:
  """The memory bandwidth: bytes read and written per second by a copy."""
  x = jnp.zeros(sizes.copied // 4, jnp.float32)
  copy = compiled({'copy': (jax.jit(lambda x: x + 1), (x,))})['copy']
  seconds = interleaved({'copy': copy}, REPEATS)['copy']
  chip = data_sheet(jax.devices()[0])
  return {
    'rows': [
      {
        'copy, GB/s': 2 * sizes.copied / seconds / 1e9,
        'data sheet, GB/s': chip and chip.bandwidth / 1e9,
      }
    ]
  }


def decode_speed(sizes: Sizes) -> dict:
  """Tokens per second of greedy decoding. The time per step is from the
  difference of two rollouts of one program, which cancels the prefill; its
  lower bound is the time to read the weights and the whole cache once."""
  model, rows = random_model(sizes.model, sizes.model.dtype), []
  c, chip = sizes.model, data_sheet(jax.devices()[0])
  weights = sum(x.nbytes for x in jax.tree.leaves(model))
  short = sizes.tokens // 4
  programs = compiled(
    {
      b: rollout_program(
        Policy(model),
        discrete(),
        random_prompt(sizes, b),
        sizes.tokens,
        greedy=True,
      )
      for b in sizes.batches
    }
  )
  for b, run in programs.items():
    times = interleaved(
      {limit: partial(_limited, run, limit) for limit in (short, sizes.tokens)},
      REPEATS,
    )
    step = (times[sizes.tokens] - times[short]) / (sizes.tokens - short)
    slots = sizes.prompt + sizes.tokens
    cache = b * slots * c.token_cache_bytes
    least = (weights + cache) / chip.bandwidth if chip else None
    rows.append(
      {
        'batch': b,
        'tokens/s': b / step,
        'step, ms': step * 1e3,
        'share of the floor': least and least / step,
        'rollout, s': times[sizes.tokens],
        **run.facts,
      }
    )
  return {'rows': rows, 'weight_bytes': weights}


def feedback_cost(sizes: Sizes) -> dict:
  """Rollouts of every feedback with the same sampling, interleaved."""
  model = random_model(sizes.model, sizes.model.dtype)
  prompt = random_prompt(sizes, sizes.batches[len(sizes.batches) // 2])
  programs = compiled(
    {
      name: rollout_program(
        Policy(model, owned), feedback, prompt, sizes.tokens, top_k=50
      )
      for name, (feedback, owned) in feedbacks(model, start=1).items()
    }
  )
  times, rows = interleaved(programs, REPEATS), []
  for name, run in programs.items():
    record = sum(x.nbytes for x in jax.tree.leaves(run().record))
    rows.append(
      {
        'feedback': name,
        'rollout, s': times[name],
        'ratio': times[name] / times['discrete'],
        'record, B/token': record // (len(prompt.ids) * sizes.tokens),
        **run.facts,
      }
    )
  return {'rows': rows}


def vocabulary_speed(sizes: Sizes) -> dict:
  """The logits of hidden states and the mean embedding of their softmax at
  temperature 0.5, of a tied table, by implementation and rows."""
  c, key, rows = sizes.model, jax.random.key(0), []
  normal = lambda n: 0.02 * jax.random.normal(key, (n, c.width), c.dtype)
  table, temperature = normal(c.vocab), jnp.float32(0.5)
  names = ['reference', 'xla', *['pallas'] * (jax.default_backend() == 'tpu')]
  for b in sizes.batches:
    forms = {
      name: jax.jit(partial(logits_and_mixture, implementation=name))
      for name in names
    }
    arguments = normal(b), table, temperature
    programs = compiled({name: (f, arguments) for name, f in forms.items()})
    times = interleaved(programs, REPEATS)
    for name, run in programs.items():
      milliseconds = 1e3 * times[name]
      row = {'batch': b, 'implementation': name, 'ms': milliseconds}
      rows.append(row | run.facts)
  return {'rows': rows, 'table_bytes': table.nbytes}


def update_speed(sizes: Sizes) -> dict:
  """A policy-gradient step of all parameters of the model in bfloat16. Model
  FLOPs: 6 per parameter and token, and 12 * layers * width of the heads * half
  the length per token for attention; recomputation by remat is not counted."""
  rows_, length = sizes.update
  config = dataclasses.replace(sizes.model, remat='full')
  model, chip = random_model(config, config.dtype), data_sheet(jax.devices()[0])
  c, tokens = config, rows_ * length
  half = length // 2
  prompt = random_prompt(sizes._replace(prompt=half), rows_)
  ones = jnp.ones((rows_, half))
  trajectory = Trajectory(
    tokens=random_prompt(sizes._replace(prompt=half), rows_).tokens,
    mask=ones > 0,
    policy_mask=ones > 0,
    log_probs=-ones,
    behavior_log_probs=-ones,
    thinking_mask=ones > 0,
    latent_share=0 * ones,
    record=(),
    terminated=ones[:, 0] > 0,
    steps=jnp.int32(half),
  )
  advantages = jnp.where(jnp.arange(rows_) % 2, 1.0, -1.0)[:, None] * ones

  @partial(jax.jit, donate_argnums=0)
  def update(model, prompt, trajectory, advantages):
    def loss(model):
      scores = rescore(Policy(model), discrete(), prompt, trajectory)
      return -jnp.mean(advantages * scores.log_probs)

    value, gradient = jax.value_and_grad(loss)(model)
    step = lambda w, g: w - (1e-6 * g).astype(w.dtype)
    return jax.tree.map(step, model, gradient), value

  rest = prompt, trajectory, advantages
  program = compiled({'update': (update, (model, *rest))})['update']
  seconds = []
  for _ in range(REPEATS + 1):
    began = time.perf_counter()
    model, value = jax.block_until_ready(program.compiled(model, *rest))
    seconds.append(time.perf_counter() - began)
  if not np.isfinite(value):
    raise ArithmeticError(f'the loss is {value}')
  median = float(np.median(seconds[1:]))
  parameters = sum(x.size for x in jax.tree.leaves(model))
  mixing = 12 * c.layers * c.heads * c.head_dim * half
  flops = tokens * (6 * parameters + mixing)
  return {
    'rows': [
      {
        'rows': rows_,
        'length': length,
        'update, s': median,
        'tokens/s': tokens / median,
        'TFLOP/s': flops / median / 1e12,
        'MFU': chip and flops / median / chip.flops,
        **program.facts,
      }
    ],
    'parameters': parameters,
  }


def _limited(run: Program, limit: int) -> Trajectory:
  """The rollout of `limit` tokens; limits are traced, so it compiles once."""
  *rest, stop = run.arguments
  stop = stop._replace(max_tokens=jnp.int32(limit))
  return jax.block_until_ready(run.compiled(*rest, stop))
