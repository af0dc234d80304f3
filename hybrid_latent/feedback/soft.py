"""Soft Tokens: the inputs of the thinking are noisy mixtures of embeddings.

"Soft Tokens, Hard Truths", Butt et al., arXiv 2509.19170. During the thinking
the next input is
  x = h0 + sigma * n,   h0 = softmax(logits / tau) @ E,   n ~ N(0, 1)
over the full vocabulary; tau 0.5 is the paper's "soft", 1e-4 its "fuzzy" mode
("hard" is the discrete feedback). Its log-prob is the log-density of x,
  log pi(x) = -||x - h0||^2 / (2 sigma^2) + const,
where x is a recorded constant and h0 is recomputed, with gradient: through the
logits, and through E if E is trained. After the thinking come plain tokens.

The text of the thinking is the likeliest token of each step: where the stop
phrase is complete in it, the thinking ends. The input after the phrase's last
token is still a mixture.

Not specified in the paper: sigma is `noise` (0.33) times the root mean square
of the entries of E as loaded, a float32 constant of the run (relative to the
norm of a whole embedding instead, the noise would dominate it); const is such
that the log-prob has mean 0 instead of -d/2, which changes no gradient.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Key

from hybrid_latent.feedback.base import (
  latent_where,
  parameters,
  recorded_latents,
  stateless,
)
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.ops.sampling import argmax
from hybrid_latent.ops.soft import logits_and_mixture, soft_mixture
from hybrid_latent.policy import bare_model, embedding_table
from hybrid_latent.ranges import NonNegativeFloat, PositiveFloat
from hybrid_latent.sharding import ambient_mesh
from hybrid_latent.types import Feedback


class SoftTokens(NamedTuple):
  """The settings, as arrays: a change never recompiles."""

  temperature: Float[Array, '']  # tau
  sigma: Float[Array, '']  # standard deviation of the noise; 0: none


def soft_tokens(
  key: Key[Array, ''] | None,
  model: Any,
  tokenizer: Any = None,
  *,
  temperature: PositiveFloat = 0.5,
  noise: NonNegativeFloat = 0.33,
) -> SoftTokens:
  """Settings for a model; `noise` in units of its embeddings' RMS."""
  if temperature <= 0 or noise < 0:
    raise ValueError(
      f'soft_tokens: temperature={temperature}, noise={noise}: write a '
      'temperature > 0 (0.5 soft, 1e-4 fuzzy) and a noise >= 0 (0: none)'
    )
  table = embedding_table(model)
  # Computed once: training the embedding must not change sigma.
  rms = jnp.sqrt(jnp.mean(jnp.square(table.astype(jnp.float32))))
  return SoftTokens(jnp.float32(temperature), noise * rms)


@functools.cache  # one object, so that a jit that takes it compiles once
def soft() -> Feedback:
  """Soft Tokens' feedback for a `Policy(model, soft_tokens(...))`."""

  def select_token(model, state, out):
    likeliest = argmax(out.logits).astype(out.token.dtype)
    token = jnp.where(out.in_thinking, likeliest, out.token)
    # The policy's choice is the latent here, which `log_prob` scores.
    return token, jnp.ones(token.shape, bool)

  def step(model, state, keys, out):
    h0 = _mean(model, out)
    noise = jax.vmap(lambda key: jax.random.normal(key, h0.shape[1:]))(keys)
    sigma = jnp.where(out.greedy, 0, _settings(model).sigma)
    x = h0 + sigma[:, None] * noise
    return latent_where(out.in_thinking, x, model, out, state)

  def log_prob(model, inputs, record):
    x = jax.lax.stop_gradient(record['latent']).astype(jnp.float32)
    sigma = _settings(model).sigma
    z = (x - _mean(model, inputs)) / jnp.where(sigma > 0, sigma, 1)
    log_density = -0.5 * (jnp.sum(z**2, axis=-1) - z.shape[-1])
    # Without noise the input is not random: no gradient.
    log_density = jnp.where(sigma > 0, log_density, 0)
    return jnp.where(record['fed'], log_density, inputs.token_log_probs)

  def mixture_logits(model, state, out):
    return out.logits / _settings(model).temperature

  return Feedback(
    stateless,
    step,
    recorded_latents,
    log_prob,
    select_token,
    mixture_logits=mixture_logits,
    latents_are_actions=True,
    unembed=_unembed,
  )


def _settings(model) -> SoftTokens:
  return parameters(model, 'soft_tokens', SoftTokens)


def _unembed(model, hidden):
  """The logits, and h0 where the table is tied and whole on each device."""
  bare, mesh = bare_model(model), ambient_mesh()
  tied = isinstance(bare, Transformer) and bare.config.tied
  cut = {} if mesh is None else {x: n for x, n in mesh.shape.items() if n > 1}
  by_rows = [*cut] == ['data'] and hidden.shape[0] % cut['data'] == 0
  if not tied or (cut and not by_rows):
    return model.unembed(hidden), None
  function = logits_and_mixture
  if cut:  # the compiler does not partition a kernel
    rows, all_of_it = PartitionSpec('data'), PartitionSpec()
    specs = rows, all_of_it, all_of_it
    function = jax.shard_map(function, in_specs=specs, out_specs=rows)
  return function(hidden, bare.table, _settings(model).temperature)


def _mean(model, found):
  """h0 of a StepOut or of ScoreInputs."""
  if found.mixture is not None:
    return found.mixture
  temperature = _settings(model).temperature
  return soft_mixture(found.logits, embedding_table(model), temperature)
