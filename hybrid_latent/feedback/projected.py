"""The projected last hidden state is the next input during the thinking.

CODI (arXiv 2502.21074, section 3.1): x = LayerNorm(W2 GELU(W1 h + b1) + b2),
with h the state after the final norm; the network is trained with the model.

The states are recorded, and constants in rescoring, where the network is
applied to them again: the policy gradient reaches the network, and the model
through its computation on these inputs. The release has dropout on h, off by
default; we have none. The LayerNorm is optional, as in the release.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from hybrid_latent.feedback.base import (
  drawn_token,
  parameters,
  stateless,
  token_log_prob,
)
from hybrid_latent.policy import embedding_table
from hybrid_latent.ranges import NonNegativeInt
from hybrid_latent.types import Feedback, FeedbackOutput


class Projector(NamedTuple):
  """Parameters; linear maps are [out, in]."""

  expand: Float[Array, 'e d']
  expand_bias: Float[Array, 'e']
  contract: Float[Array, 'd e']
  contract_bias: Float[Array, 'd']
  norm: tuple[Float[Array, 'd'], Float[Array, 'd']] | None  # scale, shift


def projector(
  key: Key[Array, ''],
  model: Any,
  tokenizer: Any = None,
  *,
  width: NonNegativeInt = 0,
  norm: bool = True,
) -> Projector:
  """A new one, uniform in +-1/sqrt(in), torch's default; `width` is that of its
  hidden layer, 0 for the model's."""
  d = embedding_table(model).shape[1]
  e = width or d
  keys = iter(jax.random.split(key, 4))
  uniform = lambda *shape, n: jax.random.uniform(
    next(keys), shape, minval=-(n**-0.5), maxval=n**-0.5
  )
  return Projector(
    expand=uniform(e, d, n=d),
    expand_bias=uniform(e, n=d),
    contract=uniform(d, e, n=e),
    contract_bias=uniform(d, n=e),
    norm=(jnp.ones(d), jnp.zeros(d)) if norm else None,
  )


def projection(
  p: Projector, hidden: Float[Array, '*b d']
) -> Float[Array, '*b d']:
  """The network, computed in float32; the result in the dtype of `hidden`."""
  wide = lambda x: jnp.expand_dims(x, tuple(range(hidden.ndim - 1)))
  y = jnp.einsum('...d,ed->...e', hidden.astype(jnp.float32), p.expand)
  y = jax.nn.gelu(y + wide(p.expand_bias), approximate=False)
  y = jnp.einsum('...e,de->...d', y, p.contract) + wide(p.contract_bias)
  if p.norm is not None:
    scale, shift = map(wide, p.norm)
    y = scale * jax.nn.standardize(y, axis=-1, epsilon=1e-5) + shift
  return y.astype(hidden.dtype)


@functools.cache  # one object, so that a jit that takes it compiles once
def projected() -> Feedback:
  """The projected state as input until the thinking ends, for a
  `Policy(model, projector(...))`."""

  def latent_from_hidden(model, hidden):
    return projection(parameters(model, 'projector', Projector), hidden)

  def step(model, state, keys, out):
    is_latent, token = out.thinking_continues, model.embed(out.token)
    latent = latent_from_hidden(model, out.hidden).astype(token.dtype)
    x = jnp.where(is_latent[:, None], latent, token)
    # The network's input, not its output: rescoring applies it with gradient.
    record = {'hidden': out.hidden, 'fed': is_latent}
    return FeedbackOutput(x, record, is_latent.astype(jnp.float32), state)

  def recompute_inputs(model, record, tokens):
    hidden = jax.lax.stop_gradient(record['hidden'])
    token = model.embed(tokens)
    latent = latent_from_hidden(model, hidden).astype(token.dtype)
    return jnp.where(record['fed'][..., None], latent, token)

  return Feedback(
    stateless,
    step,
    recompute_inputs,
    token_log_prob,
    drawn_token,
    latent_from_hidden,
  )
