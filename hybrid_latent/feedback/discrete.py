"""Plain decoding: the next input is the sampled token's embedding.

This is the GRPO baseline; with the adapters off as well it is the base model,
bit for bit: the KL reference.
"""

import functools

import jax.numpy as jnp

from hybrid_latent.feedback.base import drawn_token, stateless, token_log_prob
from hybrid_latent.types import Feedback, FeedbackOutput


@functools.cache  # one object, so that a jit that takes it compiles once
def discrete() -> Feedback:
  """The feedback without latents."""

  def step(model, state, keys, out):
    latent = jnp.zeros(out.token.shape, jnp.float32)
    return FeedbackOutput(model.embed(out.token), (), latent, state)

  def recompute_inputs(model, record, tokens):
    return model.embed(tokens)

  return Feedback(
    stateless,
    step,
    recompute_inputs,
    token_log_prob,
    drawn_token,
    latents_are_actions=True,  # there are none
  )
