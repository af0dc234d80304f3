"""Numerical accuracy on an accelerator: two parts of device.py."""

import dataclasses
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent.ops.attention import attention
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import rescore

from .device_models import (
  REPEATS,
  Sizes,
  Unavailable,
  random_model,
  random_prompt,
  rollout_program,
)
from .feedbacks import feedbacks
from .timing import compiled, interleaved


def agreement(sizes: Sizes) -> dict:
  """Differences between the log-probs of rollouts and those of rescoring."""
  rows = []
  for dtype, precision in sizes.precisions:
    precise = jax.default_matmul_precision(precision) if precision else None
    config = dataclasses.replace(sizes.agreeing, dtype=dtype)
    model = random_model(config, 'float32')
    policies = {
      name: (feedback, Policy(model, owned))
      for name, (feedback, owned) in feedbacks(model, start=1).items()
    }
    prompt = random_prompt(sizes, 8)
    with precise or nullcontext():
      rollouts = compiled(
        {
          name: rollout_program(
            policy, feedback, prompt, sizes.tokens, top_k=50
          )
          for name, (feedback, policy) in policies.items()
        }
      )
      sampled = {name: run() for name, run in rollouts.items()}
      scores = compiled(
        {
          name: (
            jax.jit(lambda p, q, t, f=feedback: rescore(p, f, q, t).log_probs),
            (policy, prompt, sampled[name]),
          )
          for name, (feedback, policy) in policies.items()
        }
      )
    for name, run in scores.items():
      gap = np.abs(np.asarray(run()) - np.asarray(sampled[name].log_probs))
      rows.append(
        {
          'feedback': name,
          'dtype': dtype,
          'matmul': precision or 'default',
          'max': float(gap.max()),
          'mean': float(gap.mean()),
          'latent': float(jnp.mean(sampled[name].latent_share > 0)),
          'compile_s': run.facts['compile_s']
          + rollouts[name].facts['compile_s'],
        }
      )
  return {'rows': rows}


def cudnn_attention(sizes: Sizes) -> dict:
  """Relative errors |x - reference| / |reference| of cuDNN's and XLA's
  attention in bfloat16, and their times; left padded, grouped queries."""
  if jax.default_backend() != 'gpu':
    raise Unavailable(f'cuDNN needs a GPU, this is {jax.default_backend()}')
  b, n, t, h = sizes.attended
  keys = jax.random.split(jax.random.key(0), 4)
  shapes = (b, n, t, h), (b, n // 4, t, h), (b, n // 4, t, h), (b, n, t, h)
  q, k, v, weight = map(jax.random.normal, keys, shapes)
  begins = (jnp.arange(b) * t) // (2 * b)
  real = jnp.arange(t) >= begins[:, None]
  weight *= real[:, None, :, None]  # outputs of padding do not count

  def value_and_gradient(implementation, dtype):
    def total(qkv):
      q, k, v = qkv
      y = attention(q, k, v, real, implementation=implementation)
      return jnp.sum(y * weight), y * weight

    return jax.jit(jax.value_and_grad(total, has_aux=True)), (
      tuple(x.astype(dtype) for x in (q, k, v)),
    )

  with jax.default_matmul_precision('highest'):
    exact = compiled({'exact': value_and_gradient('xla', jnp.float32)})
    (_, y), gradients = exact['exact']()
  names = 'xla', 'xla_chunked', 'cudnn'
  programs = compiled(
    {name: value_and_gradient(name, jnp.bfloat16) for name in names}
  )
  times, rows = interleaved(programs, REPEATS), []
  for name, run in programs.items():
    (_, found), derived = run()
    errors = map(_relative_error, (found, *derived), (y, *gradients))
    named = zip(('output', 'dq', 'dk', 'dv'), errors, strict=True)
    rows.append(
      {
        'implementation': name,
        **dict(named),
        'seconds': times[name],
        **run.facts,
      }
    )
  return {'rows': rows}


def _relative_error(found: jax.Array, expected: jax.Array) -> float:
  f32 = lambda x: x.astype(jnp.float32)
  gap = jnp.linalg.norm(jnp.ravel(f32(found) - f32(expected)))
  return float(gap / jnp.linalg.norm(jnp.ravel(f32(expected))))
