"""What the decoder promises beside parity: its depth costs no compile time."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from hybrid_latent.models.llama import SIZES
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.ops.masking import causal_mask, positions


def gradient_program(layers: int, remat: str) -> str:
  config = dataclasses.replace(
    next(iter(SIZES.values())),
    vocab=64,
    width=16,
    heads=2,
    kv_heads=1,
    head_dim=8,
    mlp=32,
    layers=layers,
    remat=remat,
  )
  model = jax.eval_shape(lambda: Transformer(config, jax.random.key(0)))
  mask = jnp.ones((2, 8), bool)

  def loss(model):
    x = model.embed(jnp.zeros((2, 8), jnp.int32))
    hidden, _ = model.forward(x, None, positions(mask), causal_mask(mask))
    return model.unembed(hidden).sum()

  return jax.jit(jax.grad(loss)).lower(model).as_text()


@pytest.mark.parametrize('remat', ['none', 'full', 'dots'])
def test_the_training_program_does_not_grow_with_the_layers(remat):
  lines = [gradient_program(n, remat).count('\n') for n in (2, 64)]
  assert lines[0] == lines[1]
