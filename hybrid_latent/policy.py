"""A model together with what its feedback owns, and with its critic."""

from typing import Any, NamedTuple

from jaxtyping import Array, Float

from hybrid_latent.types import PyTree


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
    if not hasattr(self.model, 'table'):
      raise AttributeError(
        f'{type(self.model).__name__} has no `table`: a feedback that mixes '
        'token embeddings needs the input embedding [v d] under that name'
      )
    return self.model.table
