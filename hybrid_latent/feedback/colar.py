"""CoLaR: a head draws the next input, the embedding of several tokens at once.

"Think Silently, Think Fast", Tan et al., arXiv 2505.16552; as released
(xiaomi-research/colar: projector.py, colar.py). While the thinking continues,
the next input is a sample of N(mu(h), sigma(h)), a network of the hidden state,
times the standard deviation of the model's embeddings; its score is the
log-density per channel, of the sample before it is scaled. The token that the
model samples beside it is one of those that the latent stands for: it is the
text, it ends the thinking, and it is scored where no latent follows it.

The recorded latents are constants in rescoring, and actions: several updates
per rollout are allowed. Greedy decoding reads the mean. The release has the
deviation of the embeddings in a table of models; here it is computed when the
head is made.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from hybrid_latent.feedback.base import (
  drawn_token,
  latent_where,
  parameters,
  recorded_latents,
  stateless,
)
from hybrid_latent.policy import embedding_table
from hybrid_latent.ranges import NonNegativeInt
from hybrid_latent.types import Feedback


class Linear(NamedTuple):
  """An affine map."""

  weight: Float[Array, '_ _']  # [out in]
  bias: Float[Array, '_']


class LatentHead(NamedTuple):
  """Parameters."""

  expand: Linear  # from the model's width
  within: Linear
  norm: tuple[Float[Array, 'e'], Float[Array, 'e']]  # scale, shift
  mean: Linear
  log_std: Linear
  scale: Float[Array, '']  # of a latent, a setting


def latent_head(
  key: Key[Array, ''],
  model: Any,
  tokenizer: Any = None,
  *,
  width: NonNegativeInt = 0,
) -> LatentHead:
  """A new one, uniform in +-1/sqrt(in), torch's default; `width` is that of its
  hidden layers, 0 for the model's."""
  table = embedding_table(model)
  d = table.shape[1]
  e = width or d
  keys = iter(jax.random.split(key, 8))

  def linear(n_out, n_in):
    bound = n_in**-0.5
    shapes = (n_out, n_in), (n_out,)
    uniform = jax.random.uniform
    return Linear(
      *(uniform(next(keys), x, minval=-bound, maxval=bound) for x in shapes)
    )

  return LatentHead(
    expand=linear(e, d),
    within=linear(e, e),
    norm=(jnp.ones(e), jnp.zeros(e)),
    mean=linear(d, e),
    log_std=linear(d, e),
    scale=jnp.std(table.astype(jnp.float32)),
  )


def latent_distribution(
  model: Any, hidden: Float[Array, '*b d']
) -> tuple[Float[Array, '*b d'], Float[Array, '*b d'], Float[Array, '']]:
  """Mean and log-deviation of the latent after each hidden state, over `scale`,
  and that scale; float32."""
  p = parameters(model, 'latent_head', LatentHead)
  wide = lambda x: jnp.expand_dims(x, tuple(range(hidden.ndim - 1)))
  linear = lambda p, x: x @ p.weight.T + wide(p.bias)
  y = jax.nn.gelu(linear(p.expand, hidden.astype(jnp.float32)), False)
  y = jax.nn.standardize(linear(p.within, y), axis=-1, epsilon=1e-5)
  y = wide(p.norm[0]) * y + wide(p.norm[1])
  # A larger scale would make the targets smaller, and so the squared error.
  scale = jax.lax.stop_gradient(p.scale)
  return linear(p.mean, y), linear(p.log_std, y), scale


def log_density(
  x: Float[Array, '*b d'],
  mean: Float[Array, '*b d'],
  log_std: Float[Array, '*b d'],
) -> Float[Array, '*b']:
  """The log-density of a diagonal Gaussian, its mean over channels."""
  z = (x - mean) * jnp.exp(-log_std)
  return -jnp.mean(z**2 / 2 + log_std, axis=-1) - 0.5 * jnp.log(2 * jnp.pi)


@functools.cache  # one object, so that a jit that takes it compiles once
def colar() -> Feedback:
  """CoLaR's feedback for a `Policy(model, latent_head(...))`."""

  def step(model, state, keys, out):
    mean, log_std, scale = latent_distribution(model, out.hidden)
    noise = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:]))(keys)
    std = jnp.where(out.greedy[:, None], 0, jnp.exp(log_std))
    x = scale * (mean + std * noise)
    return latent_where(out.thinking_continues, x, model, out, state)

  def log_prob(model, inputs, record):
    mean, log_std, scale = latent_distribution(model, inputs.hidden)
    x = jax.lax.stop_gradient(record['latent']).astype(jnp.float32) / scale
    density = log_density(x, mean, log_std)
    return jnp.where(record['fed'], density, inputs.token_log_probs)

  return Feedback(
    stateless,
    step,
    recorded_latents,
    log_prob,
    drawn_token,
    latents_are_actions=True,
  )
