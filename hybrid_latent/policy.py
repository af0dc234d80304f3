"""A model together with what its feedback owns, and with its critic."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hybrid_latent.types import LanguageModel, PyTree


class Critic(NamedTuple):
  """What a state is worth: a language model with one number for its head."""

  model: Any  # a types.LanguageModel
  value_head: Float[Array, 'd']


class Policy(NamedTuple):
  """Itself a language model, so that whatever samples or scores a model does
  the same with a policy; one pytree, so that optimizer groups, checkpoints
  and shardings see every part under its name (`model.`, `feedback.`)."""

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
    """The input embedding, which soft tokens mix."""
    return embedding_table(self.model)


def embedding_table(model: LanguageModel) -> Float[Array, 'v d']:
  """The input embedding of every token that the model can draw: its `table`,
  or what its methods give."""
  table = getattr(model, 'table', None)
  if table is not None:
    return table
  token = jnp.zeros(1, jnp.int32)
  logits = jax.eval_shape(lambda: model.unembed(model.embed(token)))
  return model.embed(jnp.arange(logits.shape[-1]))
