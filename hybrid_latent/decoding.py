"""One prefill per prompt, then one loop over the tokens: whole (`decode`), or
in pieces, so that a host sees each token as it is written (`begin`, `advance`,
`finish`; streaming.py)."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from hybrid_latent.ops.sampling import distribution, draw
from hybrid_latent.ops.thinking import (
  ThinkingState,
  apply_limits,
  forced_token,
  has_room,
  init_state,
  update,
)
from hybrid_latent.policy import check_settings
from hybrid_latent.prompt_cache import Prefilled, group_cache, grown_cache
from hybrid_latent.types import (
  Feedback,
  LanguageModel,
  Prompt,
  PyTree,
  Sampling,
  ScoreInputs,
  StepOut,
  StoppingRule,
  Trajectory,
)


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
  check_settings(sampling, stop, cache_stages=cache_stages)
  p, first = prefilled.mask.shape[1], -(-max_steps // cache_stages)
  settings: Any = dict(sampling=sampling, stop=stop, group=group)
  settings |= dict(max_steps=max_steps, slots=p + first)
  state = begin(model, feedback, prompt, prefilled, key, **settings)
  for stage in range(1, cache_stages + 1):
    until = -(-max_steps * stage // cache_stages)
    state = _with_room(model, state, p + until)
    state = advance(model, feedback, state, until)
  return finish(state)


class DecodeState(NamedTuple):
  """The carry of the decoding loop."""

  step: Int[Array, '*b']  # tokens written so far, of all rows or of each
  slot: Int[Array, '']  # of the cache, of the next input
  position: Int[Array, 'b']  # of the next input; padding does not count
  keys: Key[Array, 'b']  # seeds of the rows
  hidden: Float[Array, 'b d']  # state whose logits give the next token
  cache: PyTree
  cache_mask: Bool[Array, 'b slots']  # filled slots of the cache, not padding
  thinking: ThinkingState
  terminated: Bool[Array, 'b']  # a stop token was written
  feedback: PyTree  # the feedback's own state
  columns: dict[str, PyTree]  # the trajectory's [b t ...] fields, up to `step`
  sampling: Sampling
  stop: StoppingRule


def begin(
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
  slots: int | None = None,
  shared: bool = True,
) -> DecodeState:
  """The state before the first token, with a cache of `slots`, by default as
  many as `max_steps` tokens need. Without `shared` its shape is not that of the
  prompts, and each completion has a copy of its prompt."""
  check_settings(sampling, stop, max_steps=max_steps, group=group)
  rows = lambda x: jnp.repeat(x, group, axis=0)
  mask, cache = rows(prefilled.mask), prefilled.cache
  if shared:
    cache = group_cache(model, prefilled, group)
  b, p = mask.shape
  state = DecodeState(
    step=jnp.int32(0),
    slot=jnp.int32(p),
    position=mask.sum(-1, dtype=jnp.int32),
    keys=_row_keys(key, prompt.ids, group),
    hidden=rows(prefilled.hidden),
    cache=cache,
    cache_mask=mask,
    thinking=init_state(rows(prefilled.thinks)),
    terminated=jnp.zeros(b, bool),
    feedback=feedback.init(b),
    columns={},
    sampling=sampling,
    stop=stop,
  )
  # The record's shapes are the feedback's: only tracing one step gives them.
  column, *_ = jax.eval_shape(partial(_write_token, model, feedback), state)
  state = state._replace(columns=_empty_columns(column, max_steps, stop.pad_id))
  return _with_room(model, state, p + max_steps if slots is None else slots)


def advance(
  model: LanguageModel,
  feedback: Feedback,
  state: DecodeState,
  until: int | Int[Array, ''],
) -> DecodeState:
  """The state with `until` columns, fewer where all rows have ended. With it
  traced, one program decodes in pieces, with the results of `decode`."""

  def unfinished(state: DecodeState) -> Bool[Array, '']:
    return (state.step < until) & jnp.any(is_active(state))

  def step(state: DecodeState) -> DecodeState:
    column, after = next_token(model, feedback, state)
    # Not a scan's stacked outputs: a while loop has none, and this is in place.
    put = partial(jax.lax.dynamic_update_index_in_dim, index=state.step, axis=1)
    return after._replace(columns=jax.tree.map(put, state.columns, column))

  return jax.lax.while_loop(unfinished, step, state)


def next_token(
  model: LanguageModel, feedback: Feedback, state: DecodeState
) -> tuple[dict[str, PyTree], DecodeState]:
  """The column of `state.step`, leaves [b ...], and the state after it, which
  does not have it in its columns."""
  column, output, changes = _write_token(model, feedback, state)
  cache_mask = state.cache_mask.at[:, state.slot].set(True)
  # Slots follow the padded prompt, positions count real tokens only.
  hidden, cache = model.forward(
    output.next_input[:, None],
    state.cache,
    state.position[:, None],
    cache_mask[:, None],
  )
  return column, state._replace(
    step=state.step + 1,
    slot=state.slot + 1,
    position=state.position + 1,
    hidden=hidden[:, 0],
    cache=cache,
    cache_mask=cache_mask,
    feedback=output.state,
    **changes,
  )


def is_active(state: DecodeState) -> Bool[Array, 'b']:
  """The rows that get a token at `state.step`."""
  room = has_room(state.stop, state.thinking, state.step)
  return ~state.terminated & room & (state.step < state.stop.max_tokens)


def finish(state: DecodeState) -> Trajectory:
  """The completions, as far as they are written."""
  end = {'terminated': state.terminated, 'steps': state.step}
  return Trajectory(**state.columns, **end)


def _write_token(model, feedback, state):
  """One column of the trajectory, the model's next input, and fields of the
  next state."""
  sampling, stop = state.sampling, state.stop
  # Keys by position, not by splitting: no row depends on how long others run.
  steps = jnp.broadcast_to(state.step, state.keys.shape)
  keys = jax.vmap(jax.random.fold_in)(state.keys, steps)
  draw_keys, feed_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
  if feedback.unembed:
    logits, mixture = feedback.unembed(model, state.hidden)
  else:
    logits, mixture = model.unembed(state.hidden), None
  drawn_from = distribution(logits, sampling)
  thinking = apply_limits(stop, state.thinking, state.step)
  in_thinking = state.step < thinking.end
  greedy = sampling.greedy | (sampling.greedy_answer & ~in_thinking)
  out = StepOut(
    token=draw(draw_keys, drawn_from.logits, greedy, drawn_from.mass),
    logits=logits,
    filtered=drawn_from.logits,
    temperature=sampling.temperature,
    greedy=greedy,
    hidden=state.hidden,
    thinking_continues=in_thinking,
    in_thinking=in_thinking,
    likeliest=drawn_from.likeliest,
    mixture=mixture,
  )
  token, chosen = feedback.select_token(model, state.feedback, out)
  # Forced tokens override the sampled one and the feedback's choice.
  forced = forced_token(stop, thinking, state.step)
  token = jnp.where(forced < 0, token, forced)
  thinking, stopped = update(stop, thinking, state.step, token)
  active = is_active(state)  # from before it: a stop token is kept
  continues = active & (state.step + 1 < thinking.end)
  out = out._replace(
    token=token, thinking_continues=continues, in_thinking=active & in_thinking
  )
  output = feedback.step(model, state.feedback, feed_keys, out)

  def score(token_logits, log_sum_exp):
    chosen = jnp.take_along_axis(token_logits, token[:, None], axis=-1)[:, 0]
    of_token = chosen - log_sum_exp
    inputs = ScoreInputs(state.hidden, logits, token_logits, of_token, mixture)
    score = feedback.log_prob(model, inputs, output.record)
    return jnp.where(active, score, 0)  # ended rows continue on padding

  scaled = logits / sampling.score_temperature
  column = {
    'tokens': jnp.where(active, token, stop.pad_id),
    'mask': active,
    'policy_mask': active & chosen & (forced < 0),
    'log_probs': score(scaled, drawn_from.score_log_sum_exp),
    'behavior_log_probs': score(drawn_from.logits, drawn_from.log_sum_exp),
    'thinking_mask': continues,
    'latent_share': jnp.where(active, output.latent_share, 0),
    'record': output.record,
  }
  terminated = state.terminated | (stopped & active)
  return column, output, {'thinking': thinking, 'terminated': terminated}


def _row_keys(key, ids, group) -> Key[Array, 'b']:
  """A key per completion, from its prompt's id and its index in the group."""
  fold = jax.vmap(jax.random.fold_in, (None, 0))
  keys = jax.vmap(fold, (0, None))(fold(key, ids), jnp.arange(group))
  return keys.reshape(-1)


def _empty_columns(column, max_steps, pad):
  """Buffers [b max_steps ...] for columns like this one."""
  shape = lambda x: (x.shape[0], max_steps, *x.shape[1:])
  columns = jax.tree.map(lambda x: jnp.zeros(shape(x), x.dtype), column)
  columns['tokens'] += pad
  return columns


def _with_room(model, state, slots):
  """The state with a cache of `slots` per row."""
  b, filled = state.cache_mask.shape
  return state._replace(
    cache=grown_cache(model, state.cache, b, slots),
    cache_mask=jnp.pad(state.cache_mask, ((0, 0), (0, slots - filled))),
  )
