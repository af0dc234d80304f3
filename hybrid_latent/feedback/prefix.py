"""Latents are read once, after the prompt, in the place of a thinking in words;
then the model answers with plain tokens.

LRT (ICLR 2026, "Latent Reasoning Tuning") makes them with a network of its own,
`models/reasoner.py`, and leaves the model that reads them as it is. Where they
stand the paper does not say. Here they take the place of the thinking: after a
prompt that ends as the thinking begins, and before the text that ends it.

The latents are a function of the prompt and of the network, and replay makes
them again: gradients reach the network through the model. Without the prefix
(types.Mode) the model is the one it was, bit for bit.
"""

import functools

import jax.numpy as jnp

from hybrid_latent.feedback.base import parameters
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.types import Feedback


@functools.cache  # one object, so that a jit that takes it compiles once
def prefix(swapped: bool = False) -> Feedback:
  """For a `Policy(model, models.reasoner.Prefix(...))`.

  Args:
    swapped: each prompt gets the latents of the one before it in the batch: a
      control. What an answer loses by it is what latents say of their prompt.
  """

  def made(model, hidden, mask):
    p = parameters(model, 'Prefix')
    closing = model.embed(p.closing)
    z = p.reasoner(hidden, mask).astype(closing.dtype)
    if swapped:
      z = jnp.roll(z, 1, axis=0)
    closing = jnp.broadcast_to(closing, (z.shape[0], *closing.shape))
    return jnp.concatenate([z, closing], axis=1)

  return discrete()._replace(prefix=made)
