"""A model with the parameters of its feedback, and with its critic."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hybrid_latent.types import LanguageModel, PyTree


class Critic(NamedTuple):
  """A value function: a language model with a scalar head."""

  model: Any  # a types.LanguageModel
  value_head: Float[Array, 'd']


class Policy(NamedTuple):
  """A language model itself, so that sampling and scoring take either; one
  pytree, so that optimizer groups, checkpoints and shardings name every part
  (`model.`, `feedback.`, `critic.`)."""

  model: Any  # a types.LanguageModel
  feedback: PyTree = None  # HRPO's gate, for example
  critic: Critic | None = None  # PPO's

  def embed(self, tokens):
    return self.model.embed(tokens)

  def forward(self, x, cache, positions, mask):
    return self.model.forward(x, cache, positions, mask)

  def unembed(self, hidden):
    return self.model.unembed(hidden)

  def init_cache(self, batch, length):
    return self.model.init_cache(batch, length)

  @property
  def table(self) -> Float[Array, 'v d']:
    """The input embedding, whose rows soft tokens mix."""
    return embedding_table(self.model)


def embedding_table(model: LanguageModel) -> Float[Array, 'v d']:
  """The input embedding of every token of the vocabulary: the model's `table`,
  or else computed with its methods."""
  table = getattr(model, 'table', None)
  if table is not None:
    return table
  token = jnp.zeros(1, jnp.int32)
  logits = jax.eval_shape(lambda: model.unembed(model.embed(token)))
  return model.embed(jnp.arange(logits.shape[-1]))
