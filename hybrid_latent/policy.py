"""A model with the parameters of its feedback, and with its critic; checks,
while JAX traces, of what a rollout and rescoring of it are given."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from hybrid_latent.ops.attention import (
  GroupMask,
  causal_mask,
  positions,
  segment_positions,
)
from hybrid_latent.types import (
  Feedback,
  LanguageModel,
  Prompt,
  PyTree,
  Sampling,
  Segments,
  StoppingRule,
)

_METHODS = 'embed', 'forward', 'unembed', 'init_cache'


class Critic(NamedTuple):
  """A value function: a language model with a scalar head."""

  model: Any  # a types.LanguageModel
  value_head: Float[Array, 'd']


class Policy(NamedTuple):
  """A language model itself, so that sampling and scoring take either; one
  pytree, so that optimizer groups, checkpoints and shardings name every part
  (`model.`, `feedback.`, `critic.`, `objective.`)."""

  model: Any  # a types.LanguageModel
  feedback: PyTree = None  # HRPO's gate, for example
  critic: Critic | None = None  # PPO's
  objective: PyTree = None  # of a loss alone, SIM-CoT's decoder; not exported

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


def bare_model(model: Any) -> Any:
  """The model of a policy, or the model itself."""
  return model.model if isinstance(model, Policy) else model


def check_inputs(
  model: Any, feedback: Any, prompt: Any, decodes: bool = True
) -> None:
  """ValueError where the model has not the four methods of types.LanguageModel,
  or the others are not of their types."""
  bare = bare_model(model)
  methods = _METHODS if decodes else [x for x in _METHODS if x != 'init_cache']
  missing = [x for x in methods if not callable(getattr(bare, x, None))]
  if missing:
    raise ValueError(
      f'model {type(bare).__name__} has no {", ".join(missing)}: write the '
      'four methods of hybrid_latent.LanguageModel'
    )
  name = getattr(feedback, '__name__', 'discrete')
  _check_type('feedback', feedback, Feedback, f'{name}()')
  _check_type('prompt', prompt, Prompt, 'left_padded([[7, 8], [4, 5, 6]])')


def check_settings(sampling: Any, stop: Any, **sizes: Any) -> None:
  """ValueError where they are not of their types, or a size is not an integer
  >= 1."""
  _check_type('sampling', sampling, Sampling, 'sampling()')
  _check_type('stop', stop, StoppingRule, 'stopping_rule([1], max_tokens=24)')
  for name, size in sizes.items():
    if not isinstance(size, int | np.integer) or size < 1:
      raise ValueError(
        f'{name} is {size}: write an integer >= 1, static under jax.jit'
      )


def positions_and_mask(
  model: LanguageModel, segments: Segments
) -> tuple[Int[Array, 'b t'], Bool[Array, 'b t t'] | Segments]:
  """The positions and the mask of `model.forward` for rows that attend to
  themselves, packed or left padded."""
  padded = segments.dtype == bool
  at = positions(segments) if padded else segment_positions(segments)
  takes_segments = getattr(bare_model(model), 'takes_segments', False)
  return at, segments if takes_segments else causal_mask(segments)


def group_layout(
  model: LanguageModel,
  prompt: Bool[Array, 'b p'],
  completions: Bool[Array, 'b g t'],
) -> tuple[Int[Array, 'b s'], Any]:
  """The same for rows [prompt | completion | ... | completion], from the masks
  of their padding. Each completion has the positions of a row of its own; g = 1
  needs no GroupMask."""
  (b, g, t), p = completions.shape, prompt.shape[1]
  own = completions.reshape(b * g, t)
  whole = jnp.concatenate([jnp.repeat(prompt, g, axis=0), own], axis=1)
  if g == 1:
    return positions_and_mask(model, whole)
  places = positions(whole)[:, p:].reshape(b, g * t)
  places = jnp.concatenate([positions(prompt), places], axis=1)
  return places, GroupMask(prompt, completions)


def checked_forward(
  model: Any,  # a LanguageModel; with a GroupMask, a Transformer
  x: Float[Array, 'b t d'],
  cache: PyTree | None,
  positions: Int[Array, 'b t'],
  mask: Bool[Array, 'b t s'] | Segments | GroupMask,
) -> tuple[Float[Array, 'b t d'], PyTree | None]:
  """`model.forward`. ValueError where it does not return hidden states like `x`
  and a cache like `cache`."""
  result: Any = model.forward(x, cache, positions, mask)
  is_pair = isinstance(result, tuple) and len(result) == 2
  shape = getattr(result[0], 'shape', None) if is_pair else None
  if shape != x.shape:
    found = f'shape {shape}' if is_pair else f'a {type(result).__name__}'
    raise ValueError(
      f'model.forward returned {found}: write a tuple of hidden states '
      f'{x.shape}, the shape of its input, and the cache'
    )
  given, returned = map(jax.tree.structure, (cache, result[1]))
  if cache is not None and given != returned:
    raise ValueError(
      f'model.forward returned the cache {returned}: write the structure that '
      f'init_cache returns, {given}'
    )
  return result


def _check_type(name, value, kind, instead):
  if not isinstance(value, kind):
    made = getattr(value, '__name__', None)
    found = f'the function {made}' if made else f'a {type(value).__name__}'
    raise ValueError(f'{name} is {found}: write hybrid_latent.{instead}')
