"""The prompts of a rollout, in the cache of the model."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.models.transformer import KVCache, Transformer
from hybrid_latent.ops.attention import causal_mask, positions
from hybrid_latent.ops.prefix import prompt_mode, with_prefix
from hybrid_latent.policy import (
  bare_model,
  check_inputs,
  checked_forward,
  positions_and_mask,
)
from hybrid_latent.sharding import (
  ambient_mesh,
  batch_devices,
  constrain,
  prompt_copies,
)
from hybrid_latent.types import (
  Feedback,
  LanguageModel,
  Mode,
  PrefixInputs,
  Prompt,
  PyTree,
)


class Prefilled(NamedTuple):
  """The prompts, and the feedback's prefix, in the cache."""

  cache: PyTree  # a filled slot for each position of `mask`
  hidden: Float[Array, 'u d']  # at the last position that is not padding
  mask: Bool[Array, 'u s']  # False on the padding
  thinks: Bool[Array, 'u']  # the completion begins with the thinking


def prefill(
  model: LanguageModel, prompt: Prompt, feedback: Feedback
) -> Prefilled:
  """One forward pass over the prompts, and one over the prefix of a feedback
  that has one; every row must hold at least one token."""
  check_inputs(model, feedback, prompt)
  u, p = prompt.tokens.shape
  mask, mode = prompt.mask, prompt_mode(feedback, prompt)
  x, empty = model.embed(prompt.tokens), model.init_cache(u, p)
  layout = positions_and_mask(model, mask)
  states, cache = checked_forward(model, x, empty, *layout)
  hidden = states[:, -1]  # prompts are left padded
  if feedback.prefix:

    def after(x, latent):
      both = with_prefix(mask, latent, x.shape[1])
      layout = positions(both)[:, p:], causal_mask(both)[:, p:]
      grown = grown_cache(model, cache, *both.shape)
      return *model.forward(x, grown, *layout), both

    forward = lambda x: after(x, jnp.ones(u, bool))[0]
    inputs = PrefixInputs(prompt.tokens, mask, states, forward)
    x = feedback.prefix(model, inputs)
    final, cache, mask = after(x, mode == Mode.LATENT)
    # A row without a prefix has it masked and starts from its prompt's state.
    hidden = jnp.where(mask[:, -1:], final[:, -1], hidden)
  return Prefilled(cache, hidden, mask, mode == Mode.CHAIN_OF_THOUGHT)


def group_cache(
  model: LanguageModel, prefilled: Prefilled, group: int
) -> PyTree:
  """The cache that `group` completions per prompt begin with. Of a Transformer
  it has each prompt once per group, or per part of it: see
  sharding.prompt_copies. Else `grown_cache` repeats it per completion."""
  cache, u = prefilled.cache, prefilled.mask.shape[0]
  copies = prompt_copies(u, group, batch_devices(ambient_mesh()))
  if copies == group or not isinstance(bare_model(model), Transformer):
    return cache
  copy = lambda x: constrain(jnp.repeat(x, copies, axis=0), 'b k s h')
  prompt = jax.tree.map(copy, tuple(zip(cache.k, cache.v, strict=True)))
  return model.init_cache(u * group, 0)._replace(prompt=prompt)


def grown_cache(
  model: LanguageModel, cache: PyTree, batch: int, slots: int
) -> PyTree:
  """A cache of this size: prompts that are not shared repeated per group, new
  slots empty."""

  def place(new, old):
    if old.ndim == 0:  # the number of filled slots
      return old
    old = jnp.repeat(old, new.shape[0] // old.shape[0], axis=0)
    return jax.lax.dynamic_update_slice(new, old, (0,) * new.ndim)

  if isinstance(cache, KVCache) and cache.prompt:
    prompt, own = cache.prompt, cache._replace(prompt=())
    slots -= prompt[0][0].shape[2]
    return grown_cache(model, own, batch, slots)._replace(prompt=prompt)
  return jax.tree.map(place, model.init_cache(batch, slots), cache)
