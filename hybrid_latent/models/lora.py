"""LoRA (arXiv 2106.09685) as transformations of a model's parameters.

y = W x + alpha / rank * B A x, with A uniform in +-1/sqrt(in) as in the peft
package and B zero, so that a new adapter does not change the model's output.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key

from hybrid_latent.models.transformer import Linear, LoRA, Transformer

TARGETS = ('q', 'k', 'v', 'o', 'gate', 'up', 'down')


def add(
  model: Transformer,
  key: Key[Array, ''],
  *,
  rank: int,
  alpha: float,
  targets: tuple[str, ...] = TARGETS,
) -> Transformer:
  """The model with float32 adapters on the targets of every layer."""
  unknown = sorted(set(targets) - set(TARGETS))
  if unknown or rank < 1:
    raise ValueError(
      f'lora: rank {rank}, targets {targets}: write a rank >= 1 and targets '
      f'out of {TARGETS}'
    )
  model = _copy(model)
  for name, k in zip(targets, jax.random.split(key, len(targets)), strict=True):
    linear = getattr(model.layers, name)
    *stack, out, width = linear.weight.shape
    bound = width**-0.5  # peft's Kaiming uniform with a = sqrt(5)
    a = jax.random.uniform(
      k, (*stack, rank, width), minval=-bound, maxval=bound
    )
    b = jnp.zeros((*stack, out, rank))
    linear.lora = nnx.data(LoRA(a, b, alpha / rank))
  return model


def off(model: Transformer) -> Transformer:
  """The model without its adapters; the weights are shared, not copied."""
  model = _copy(model)
  for linear, _ in _adapted(model):
    linear.lora = nnx.data(None)
  return model


def merge(model: Transformer) -> Transformer:
  """The same function with the adapters added into the weights."""
  model = _copy(model)
  for linear, lora in _adapted(model):
    a, b = lora.a[...], lora.b[...]
    change = lora.scale * jnp.einsum('...or,...ri->...oi', b, a)
    weight = linear.weight[...]
    # The sum in float32, then one rounding to the weight's dtype.
    linear.weight = nnx.Param((weight + change).astype(weight.dtype))
    linear.lora = nnx.data(None)
  return model


def _copy(model):
  """A new module of the same arrays: the caller's must not change."""
  return jax.tree.map(lambda x: x, model)


def _adapted(model) -> list[tuple[Linear, LoRA]]:
  """The projections that have an adapter."""
  linears = [getattr(model.layers, name) for name in TARGETS]
  return [(linear, linear.lora) for linear in linears if linear.lora]
