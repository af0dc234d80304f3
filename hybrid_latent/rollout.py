"""Sampling with latent feedback: one prefill per prompt, then one jitted loop.

Independent of any model or paper: a model is embed / forward / unembed /
init_cache (types.LanguageModel), a paper is a Feedback. All settings that a
user sweeps (temperature, filters, limits, stop ids, delimiter) are traced, so
that one compilation serves training and evaluation.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from hybrid_latent.ops.attention import causal_mask, positions
from hybrid_latent.ops.logprobs import token_scores
from hybrid_latent.ops.prefix import prompt_mode, with_prefix
from hybrid_latent.ops.sampling import draw, filtered_logits
from hybrid_latent.ops.thinking import (
  ThinkingState,
  apply_limits,
  forced_token,
  has_room,
  init_state,
  update,
)
from hybrid_latent.policy import (
  check_inputs,
  check_settings,
  checked_forward,
)
from hybrid_latent.types import (
  Feedback,
  LanguageModel,
  Mode,
  Prompt,
  PyTree,
  Sampling,
  StepOut,
  StoppingRule,
  Trajectory,
)


def rollout(
  model: LanguageModel,
  feedback: Feedback,
  prompt: Prompt,
  key: Key[Array, ''],
  *,
  sampling: Sampling,
  stop: StoppingRule,
  max_steps: int,
  group: int = 1,
  cache_stages: int = 1,
) -> Trajectory:
  """`group` completions per prompt, of at most `max_steps` tokens.

  Row u * group + g of the result is completion g of prompt u. Its randomness
  depends on (key, prompt.ids[u], g, position) alone, not on its batch or row.
  To be jitted by the caller with `group`, `max_steps` and `cache_stages`
  static. With models.transformer.Transformer, pass `unstack(model)`.

  `cache_stages` splits the loop into stages, each with a cache just long
  enough: attention of a long rollout then covers few empty slots, for
  `cache_stages` times the compile time. It changes no result.
  """
  return decode(
    model,
    feedback,
    prompt,
    prefill(model, prompt, feedback),
    key,
    sampling=sampling,
    stop=stop,
    max_steps=max_steps,
    group=group,
    cache_stages=cache_stages,
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
  states, cache = checked_forward(model, x, empty, mask)
  hidden = states[:, -1]  # prompts are left padded
  if feedback.prefix:
    x = feedback.prefix(model, states, mask)
    mask = with_prefix(mask, mode == Mode.LATENT, x.shape[1])
    cache = _grown(model, cache, *mask.shape)
    after, cache = model.forward(
      x, cache, positions(mask)[:, p:], causal_mask(mask)[:, p:]
    )
    # A row without a prefix has it masked and starts from its prompt's state.
    hidden = jnp.where(mask[:, -1:], after[:, -1], hidden)
  return Prefilled(cache, hidden, mask, mode == Mode.CHAIN_OF_THOUGHT)


class _State(NamedTuple):
  """The carry of the decoding loop."""

  step: Int[Array, '']  # tokens written so far
  hidden: Float[Array, 'b d']  # state whose logits give the next token
  cache: PyTree
  cache_mask: Bool[Array, 'b s']  # filled slots of the cache, without padding
  thinking: ThinkingState
  terminated: Bool[Array, 'b']  # a stop token was written
  feedback: PyTree  # the feedback's own state
  columns: dict[str, PyTree]  # the trajectory's [b t ...] fields, up to `step`


def decode(
  model: LanguageModel,
  feedback: Feedback,
  prompt: Prompt,
  prefilled: Prefilled,
  key: Key[Array, ''],
  *,
  sampling: Sampling,
  stop: StoppingRule,
  max_steps: int,
  group: int = 1,
  cache_stages: int = 1,
) -> Trajectory:
  """The second half of `rollout`, for callers that time or reuse the first."""
  sizes = {'group': group, 'max_steps': max_steps, 'cache_stages': cache_stages}
  check_settings(sampling, stop, **sizes)
  rows = lambda x: jnp.repeat(x, group, axis=0)
  prompt_mask = rows(prefilled.mask)
  prompt_length = prompt_mask.sum(-1, dtype=jnp.int32)
  row_keys = _row_keys(key, prompt.ids, group)
  b, p = prompt_mask.shape

  def is_active(state: _State) -> Bool[Array, 'b']:
    return ~state.terminated & has_room(stop, state.thinking, state.step)

  def write_token(state: _State):
    """One column of the trajectory and the model's next input."""
    # Keys by position, not by splitting: no row depends on how long others run.
    keys = jax.vmap(partial(jax.random.fold_in, data=state.step))(row_keys)
    draw_keys, feed_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    logits = model.unembed(state.hidden)
    filtered = filtered_logits(logits, sampling)
    thinking = apply_limits(stop, state.thinking, state.step)
    in_thinking = state.step < thinking.end
    greedy = sampling.greedy | (sampling.greedy_answer & ~in_thinking)
    out = StepOut(
      token=draw(draw_keys, filtered, greedy),
      logits=logits,
      filtered=filtered,
      temperature=sampling.temperature,
      greedy=greedy,
      hidden=state.hidden,
      thinking_continues=in_thinking,
      in_thinking=in_thinking,
    )
    token, chosen = feedback.select_token(model, state.feedback, out)
    # Forced tokens override the sampled one and the feedback's choice.
    forced = forced_token(stop, thinking, state.step)
    token = jnp.where(forced < 0, token, forced)
    thinking, stopped = update(stop, thinking, state.step, token)
    active = is_active(state)  # from before this token: a stop token is kept
    thinking_continues = active & (state.step + 1 < thinking.end)
    out = out._replace(
      token=token,
      thinking_continues=thinking_continues,
      in_thinking=active & in_thinking,
    )
    output = feedback.step(model, state.feedback, feed_keys, out)

    def score(token_logits):
      of_token = token_scores(token_logits, token).log_probs
      score = feedback.log_prob(model, logits, output.record, of_token)
      return jnp.where(active, score, 0)  # ended rows continue on padding

    column = {
      'tokens': jnp.where(active, token, stop.pad_id),
      'mask': active,
      'policy_mask': active & chosen & (forced < 0),
      'log_probs': score(logits / sampling.score_temperature),
      'behavior_log_probs': score(filtered),
      'thinking_mask': thinking_continues,
      'latent_share': jnp.where(active, output.latent_share, 0),
      'record': output.record,
    }
    return column, output, thinking, state.terminated | (stopped & active)

  def advance(state: _State) -> _State:
    column, output, thinking, terminated = write_token(state)
    cache_mask = state.cache_mask.at[:, p + state.step].set(True)
    # Slots follow the padded prompt, positions count real tokens only.
    position = prompt_length + state.step
    hidden, cache = model.forward(
      output.next_input[:, None],
      state.cache,
      position[:, None],
      cache_mask[:, None],
    )
    return _State(
      step=state.step + 1,
      hidden=hidden[:, 0],
      cache=cache,
      cache_mask=cache_mask,
      thinking=thinking,
      terminated=terminated,
      feedback=output.state,
      columns=_with_column(state.columns, column, state.step),
    )

  def unfinished(bound: int, state: _State) -> Bool[Array, '']:
    return (
      (state.step < bound)  # slots of this stage's cache
      & (state.step < stop.max_tokens)  # traced, at most `max_steps`
      & jnp.any(is_active(state))
    )

  state = _State(
    step=jnp.int32(0),
    hidden=rows(prefilled.hidden),
    cache=prefilled.cache,
    cache_mask=prompt_mask,
    thinking=init_state(rows(prefilled.thinks)),
    terminated=jnp.zeros(b, bool),
    feedback=feedback.init(b),
    columns={},
  )
  # The record's shapes are the feedback's: only tracing one step gives them.
  column, *_ = jax.eval_shape(write_token, state)
  state = state._replace(columns=_empty_columns(column, max_steps, stop.pad_id))
  for stage in range(1, cache_stages + 1):
    bound = -(-max_steps * stage // cache_stages)
    state = _with_room(model, state, p + bound)
    state = jax.lax.while_loop(partial(unfinished, bound), advance, state)
  return Trajectory(
    **state.columns, terminated=state.terminated, steps=state.step
  )


def _row_keys(key, ids, group) -> Key[Array, 'b']:
  """A key per completion, from its prompt's id and its index in the group."""
  prompt_keys = jax.vmap(partial(jax.random.fold_in, key))(ids)
  members = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
  return jax.vmap(members, (0, None))(prompt_keys, jnp.arange(group)).reshape(
    -1
  )


def _empty_columns(column, max_steps, pad):
  """Buffers [b max_steps ...] for columns like this one."""
  columns = jax.tree.map(
    lambda x: jnp.zeros((x.shape[0], max_steps, *x.shape[1:]), x.dtype), column
  )
  columns['tokens'] += pad
  return columns


def _with_column(columns, column, step):
  """The buffers with this column at position `step`."""
  # Not a scan's stacked outputs: a while loop has none, and this is in place.
  write = jax.lax.dynamic_update_index_in_dim
  return jax.tree.map(
    lambda old, new: write(old, new, step, 1), columns, column
  )


def _with_room(model, state, slots):
  """The state with a cache of `slots` per row."""
  b, filled = state.cache_mask.shape
  return state._replace(
    cache=_grown(model, state.cache, b, slots),
    cache_mask=jnp.pad(state.cache_mask, ((0, 0), (0, slots - filled))),
  )


def _grown(model, cache, batch, slots):
  """A cache of this size: prompts repeated per group, new slots empty."""

  def place(new, old):
    if old.ndim == 0:  # the number of filled slots
      return old
    old = jnp.repeat(old, new.shape[0] // old.shape[0], axis=0)
    return jax.lax.dynamic_update_slice(new, old, (0,) * new.ndim)

  return jax.tree.map(place, model.init_cache(batch, slots), cache)
