"""A method of one file: a router draws, per step of the thinking, whether the
model reads the sampled token or the mixture of all tokens.

The idea is that of TARPO (arXiv 2606.05859); docs/own_method.md goes from it to
a table.
"""

# --- docs: begin
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import hybrid_latent as hl
from hybrid_latent.feedback.base import (
  drawn_token,
  latent_where,
  recorded_latents,
  stateless,
)
from hybrid_latent.ops.soft import soft_mixture


class Router(NamedTuple):
  """The parameters, which are part of the policy."""

  weight: Any  # [d]
  bias: Any  # []


def router(key, model, tokenizer=None, *, latent: float = 0.1) -> Router:
  """A new one, which draws a mixture in a share `latent` of the steps."""
  width = model.embed(jnp.zeros(1, jnp.int32)).shape[-1]
  return Router(jnp.zeros(width), jnp.log(latent) - jnp.log1p(-latent))


@functools.cache  # one object, so that a jit that takes it compiles once
def routed() -> hl.Feedback:
  """For a `Policy(model, router(...))`."""

  def logit(model, hidden):
    return hidden.astype(jnp.float32) @ model.feedback.weight + (
      model.feedback.bias
    )

  def mixture(model, hidden):
    return soft_mixture(model.unembed(hidden), model.table, jnp.float32(1))

  def step(model, state, keys, out):
    share = jax.nn.sigmoid(logit(model, out.hidden))
    drawn = jax.vmap(jax.random.bernoulli)(keys, share)
    drawn = jnp.where(out.greedy, share > 0.5, drawn)
    fed = out.thinking_continues & drawn
    output = latent_where(fed, mixture(model, out.hidden), model, out, state)
    routes = {'routes': out.thinking_continues}
    return output._replace(record=output.record | routes)

  def log_prob(model, inputs, record):
    z = logit(model, inputs.hidden)
    choice = jax.nn.log_sigmoid(jnp.where(record['fed'], z, -z))
    return inputs.token_log_probs + jnp.where(record['routes'], choice, 0)

  return hl.Feedback(
    stateless,
    step,
    recorded_latents,
    log_prob,
    drawn_token,
    latent_from_hidden=mixture,  # with it, gradients may flow through latents
  )


# --- docs: end
