"""A model together with the parameters that its feedback owns."""

from typing import Any, NamedTuple

from jaxtyping import Array, Float

from hybrid_latent.types import PyTree


class Policy(NamedTuple):
  """Itself a language model, so that whatever samples or scores a model does
  the same with a policy; one pytree, so that optimizer groups, checkpoints
  and shardings see both halves under their names (`model.`, `feedback.`)."""

  model: Any  # a types.LanguageModel
  feedback: PyTree = None  # HRPO's gate, for example

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
