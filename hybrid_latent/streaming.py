"""Completions as they are written: the columns of a rollout, step by step."""

from collections.abc import Generator
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from hybrid_latent.decoding import advance, begin, finish
from hybrid_latent.prompt_cache import prefill
from hybrid_latent.sharding import to_host
from hybrid_latent.types import (
  Feedback,
  LanguageModel,
  Prompt,
  Sampling,
  StoppingRule,
  Trajectory,
)


def stream(
  model: LanguageModel,
  feedback: Feedback,
  prompt: Prompt,
  key: Key[Array, ''],
  *,
  sampling: Sampling,
  stop: StoppingRule,
  max_steps: int,
  group: int = 1,
  every: int = 1,
  slots: int | None = None,
) -> Generator[Trajectory, None, None]:
  """Yields the trajectory of `rollout` in pieces of `every` positions, in numpy
  on this host, until the last row ends; `terminated` and `steps` are of now.
  Joined along t they are that trajectory, but for the rounding of another
  program, and for every `every` the same bits.

  Compiled at the first call with its shapes; the device decodes the next piece
  while the caller holds this one. To cancel, close the generator: it frees the
  cache. With models.transformer.Transformer, pass `unstack(model)`.

  Args:
    slots: of the cache, for prompt and completion. A number that holds prompts
      of every length and their completions decodes all with one program.
  """
  sizes = {'max_steps': max_steps, 'group': group, 'slots': slots}
  state = _begin(model, feedback, prompt, key, sampling, stop, **sizes)
  # The state stays where it is: another layout would be another program.
  places = jax.tree.map(lambda x: x.sharding, state)
  state = jax.device_put(state, places)
  places = (*jax.tree.leaves(places),)
  state, piece = _advance(model, feedback, state, every, places)
  written = 0
  while True:
    # Dispatched before this piece is awaited: the device never waits.
    state, following = _advance(model, feedback, state, every, places)
    piece = to_host(piece)
    count, written = int(piece.steps) - written, int(piece.steps)
    if not count:
      return
    rows = piece._replace(terminated=(), steps=())
    rows = jax.tree.map(lambda x, n=count: x[:, :n], rows)
    yield rows._replace(terminated=piece.terminated, steps=piece.steps)
    piece = following


@partial(jax.jit, static_argnames=('feedback', 'max_steps', 'group', 'slots'))
def _begin(model, feedback, prompt, key, sampling, stop, slots, **sizes):
  prefilled = prefill(model, prompt, feedback)
  if slots is not None:  # a prefix has slots of its own
    slots += prefilled.mask.shape[1] - prompt.mask.shape[1]
  settings = {'sampling': sampling, 'stop': stop} | sizes
  state = begin(model, feedback, prompt, prefilled, key, slots=slots,
                shared=slots is None, **settings)  # fmt: skip
  # Copied, as the state is donated, and the caller's arrays are not.
  return jax.tree.map(jnp.copy, state)


@partial(
  jax.jit,
  static_argnames=('feedback', 'every', 'places'),
  donate_argnames='state',
)
def _advance(model, feedback, state, every, places):
  """The state after `every` steps, with its leaves at `places`, and the
  trajectory of these steps alone."""
  written = state.step + jnp.arange(every)
  until = jnp.minimum(state.step + every, state.columns['mask'].shape[1])
  state = advance(model, feedback, state, until)
  take = lambda x: jnp.take(x, written, axis=1, mode='clip')
  piece = finish(state._replace(columns=jax.tree.map(take, state.columns)))
  leaves, tree = jax.tree.flatten(state)
  leaves = map(jax.lax.with_sharding_constraint, leaves, places)
  return tree.unflatten(leaves), piece
