"""Decoding with fewer rows than completions: where a row ends, the next
completion begins, within one compiled loop (continuous batching).

Completions of different lengths then take about as many passes as their mean
length asks for, not the longest. All rows write the same slot of the cache; it
is the first behind the prompts again after `max_steps` slots. No completion is
longer, so that a row never overwrites what it attends to, and a row that begins
has the slots of the one before it masked. Each row has a copy of its prompt: a
group is not in one place.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from hybrid_latent.decoding import (
  DecodeState,
  begin,
  decode,
  is_active,
  next_token,
)
from hybrid_latent.policy import check_settings
from hybrid_latent.prompt_cache import Prefilled
from hybrid_latent.sharding import ambient_mesh, batch_devices
from hybrid_latent.types import (
  Feedback,
  LanguageModel,
  Prompt,
  PyTree,
  Sampling,
  StoppingRule,
  Trajectory,
)


def decode_with_refill(
  model: LanguageModel,
  feedback: Feedback,
  prompt: Prompt,
  prefilled: Prefilled,
  key: Key[Array, ''],
  *,
  sampling: Sampling,
  stop: StoppingRule,
  max_steps: int,
  max_num_seqs: int,
  group: int = 1,
) -> Trajectory:
  """`decoding.decode` with at most `max_num_seqs` rows at a time (static; the
  name is vLLM's).

  Completions are those of `decode` for every `max_num_seqs`, but for the
  rounding of another program, and so independent of their row and order. The
  record has zeros after the end of a completion, and `steps` is the longest
  length. On a mesh each device decodes the completions of its own prompts,
  where the axes of the batch divide the prompts and `max_num_seqs`. The state
  of the feedback must not mix rows, as that of `controls.other_problem` does.
  """
  check_settings(sampling, stop, max_steps=max_steps, max_num_seqs=max_num_seqs)
  u, p = prefilled.mask.shape
  settings: Any = dict(
    sampling=sampling, stop=stop, max_steps=max_steps, group=group
  )
  if max_num_seqs >= u * group:
    return decode(model, feedback, prompt, prefilled, key, **settings)
  first = begin(model, feedback, prompt, prefilled, key, slots=p, **settings)
  shards = math.gcd(batch_devices(ambient_mesh()), u, max_num_seqs)
  of_shard = u * group // shards  # completions

  def active(loop: _Loop) -> Bool[Array, 'b']:
    return is_active(loop.state) & (loop.state.step < max_steps)

  def waits(loop: _Loop) -> Bool[Array, 'shards r']:
    """The rows that have ended while there are completions."""
    left = loop.begun < of_shard
    return ~_split(active(loop), shards) & left[:, None]

  some_run = lambda loop: active(loop).any()
  some_wait = lambda loop: waits(loop).any()

  def fill_row(loop: _Loop) -> _Loop:
    """The next completion of each shard in the first row that waits."""
    waiting = waits(loop)
    begins, row = waiting.any(axis=1), jnp.argmax(waiting, axis=1)

    def put(rows, completions, index):
      put_row = partial(_put_row, shards=shards)
      return put_row(rows, completions, row, index, begins)

    state = loop.state
    new = _of_rows(first) | {'step': jnp.zeros_like(first.position)}
    new['cache_mask'] = jnp.pad(first.cache_mask, ((0, 0), (0, max_steps)))
    old = _of_rows(state) | {'step': state.step}
    at = jnp.minimum(loop.begun, of_shard - 1)
    rows = jax.tree.map(lambda x, new: put(x, new, at), old, new)
    cache = jax.tree.map(
      lambda x, new: put(x, new, at // group) if x.ndim else x,
      state.cache,
      prefilled.cache,
    )
    numbers = jnp.broadcast_to(jnp.arange(of_shard), (shards, of_shard))
    return loop._replace(
      state=state._replace(cache=cache, **rows),
      index=put(loop.index, numbers.reshape(-1), at),
      begun=loop.begun + begins,
    )

  def one_pass(loop: _Loop) -> _Loop:
    column, state = next_token(model, feedback, loop.state)
    slot = p + (state.slot - p) % max_steps
    to = jnp.where(active(loop), loop.index, of_shard)  # else dropped
    put = lambda x, new, *at: _put(x, new, to, *at, shards=shards)
    return loop._replace(
      state=state._replace(slot=slot, cache=_filled(state.cache, slot)),
      columns=jax.tree.map(
        lambda x, new: put(x, new, loop.state.step), loop.columns, column
      ),
      terminated=put(loop.terminated, state.terminated),
    )

  rows = jnp.zeros(max_num_seqs, jnp.int32)
  empty = jax.tree.map(lambda x: x[rows], _of_rows(first))
  empty['cache_mask'] = jnp.zeros((max_num_seqs, p + max_steps), bool)
  empty['terminated'] = jnp.ones(max_num_seqs, bool)
  cache = _filled(model.init_cache(max_num_seqs, p + max_steps), p)
  state = first._replace(step=rows, cache=cache, columns={}, **empty)
  begun = jnp.zeros(shards, jnp.int32)
  loop = _Loop(state, rows, begun, first.columns, first.terminated)
  fill = partial(jax.lax.while_loop, some_wait, fill_row)
  decode_rows = partial(
    jax.lax.while_loop, lambda x: some_run(x) & ~some_wait(x), one_pass
  )
  loop = jax.lax.while_loop(
    lambda x: some_run(x) | some_wait(x), lambda x: decode_rows(fill(x)), loop
  )
  lengths = loop.columns['mask'].sum(-1, dtype=jnp.int32)
  end = {'terminated': loop.terminated, 'steps': lengths.max()}
  return Trajectory(**loop.columns, **end)


class _Loop(NamedTuple):
  """The carry of the loop."""

  state: DecodeState  # of the rows, each with a step of its own
  index: Int[Array, 'b']  # of the row's completion, in its shard
  begun: Int[Array, 'shards']  # completions
  columns: dict[str, PyTree]  # of all completions
  terminated: Bool[Array, 'n']


def _of_rows(state: DecodeState) -> dict[str, PyTree]:
  """The fields with leaves [b ...] that a row begins with."""
  names = 'position', 'keys', 'hidden', 'cache_mask', 'thinking', 'terminated'
  return {name: getattr(state, name) for name in (*names, 'feedback')}


def _split(x, shards):
  return x.reshape(shards, -1, *x.shape[1:])


def _filled(cache, slots):
  """The cache with this number of filled slots."""
  number = lambda x: jnp.full_like(x, slots) if x.ndim == 0 else x
  return jax.tree.map(number, cache)


def _put_row(rows, completions, row, index, begins, *, shards):
  """`rows` with one of `completions` in one row of each shard that `begins`."""

  def put(rows, completions, row, index, begins):
    new = completions[index][None]
    at = (row, *(0,) * (rows.ndim - 1))
    old = jax.lax.dynamic_slice(rows, at, new.shape)
    new = jnp.where(begins, new, old)
    return jax.lax.dynamic_update_slice(rows, new, at)

  if shards == 1:  # a slice in place: under vmap it would be a scatter
    return put(rows, completions, row[0], index[0], begins[0])
  split = partial(_split, shards=shards)
  rows_of_shards = jax.vmap(put)(
    split(rows), split(completions), row, index, begins
  )
  return rows_of_shards.reshape(rows.shape)


def _put(x, new, *at, shards):
  """x with `new` at `at`, the first of which is of the shard of its place."""
  place = jax.vmap(lambda x, new, at: x.at[at].set(new, mode='drop'))
  split = partial(_split, shards=shards)
  return place(split(x), split(new), tuple(map(split, at))).reshape(x.shape)
