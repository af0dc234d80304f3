"""End of the thinking of each row, and the tokens that are forced after it.

The thinking ends naturally when the delimiter is complete. It is truncated at
its limit, or at a stop token during the thinking if there is forced text for a
truncation. Then follow the tokens of `stop.forced_tokens`, regardless of the
model's distribution, and the answer. Soft Tokens prefills its answer this way,
and s1 enforces a token budget (arXiv 2501.19393); a budget that runs out during
the answer forces its text likewise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from hybrid_latent.ops import automaton
from hybrid_latent.ops.padding import are_token_ids
from hybrid_latent.types import StoppingRule

STOP_IDS, FORCED_IDS = 8, 32  # fixed array sizes: other ids do not recompile
_NEVER = 2**30
_NO_DELIMITER = np.zeros((2, 1), np.int8)  # an id past it stays in its state
# Rows of stop.forced_tokens.
_AFTER_THINKING, _ON_TRUNCATION, _ON_BUDGET = range(3)


def stopping_rule(
  stop_ids: Sequence[int],
  max_tokens: int,
  pad_id: int = 0,
  end_of_thinking: Sequence[int] | Int[np.ndarray, 'a v'] = (),
  *,
  max_thinking_tokens: int = _NEVER,
  after_thinking: Sequence[int] = (),
  on_truncation: Sequence[int] = (),
  on_budget: Sequence[int] = (),
  max_answer_tokens: int = _NEVER,
  budget: int = _NEVER,
) -> StoppingRule:
  """Where a completion and its thinking end, and the tokens forced then: each
  value checked, and an array of the result.

  Args:
    stop_ids: ids that end a completion; one beyond the model's vocabulary is
      never sampled.
    max_tokens: tokens of a whole completion.
    pad_id: fills the positions after a completion's end.
    end_of_thinking: ids that end the thinking in this order, or the automaton
      of a text (`ops.automaton.delimiter_automaton`); empty: no delimiter.
    max_thinking_tokens: tokens of the thinking, which is truncated there.
    after_thinking, on_truncation: ids forced after a thinking that ended
      naturally, or was truncated.
    on_budget: ids forced at the budget, into an answer that has not ended.
    max_answer_tokens: tokens after the forced ones.
    budget: tokens after which thinking or answer is truncated.
  """
  for name, ids, capacity in (
    ('stop_ids', stop_ids, STOP_IDS),
    ('after_thinking', after_thinking, FORCED_IDS),
    ('on_truncation', on_truncation, FORCED_IDS),
    ('on_budget', on_budget, FORCED_IDS),
  ):
    if not are_token_ids(ids) or len(ids) > capacity:
      raise ValueError(
        f'stopping_rule: {name}={ids!r}: write at most {capacity} ids, a list '
        'of integers, all >= 0'
      )
  if min(max_tokens, max_thinking_tokens, max_answer_tokens, budget) < 1:
    raise ValueError(
      f'stopping_rule: max_tokens={max_tokens}, max_thinking_tokens='
      f'{max_thinking_tokens}, max_answer_tokens={max_answer_tokens}, '
      f'budget={budget}: each is a number of tokens, at least 1'
    )
  delimiter = np.asarray(end_of_thinking)
  if delimiter.ndim != 2 and not are_token_ids(end_of_thinking):
    raise ValueError(
      f'stopping_rule: end_of_thinking={end_of_thinking!r}: write a list of '
      'token ids, all >= 0, or the table of a delimiter_automaton'
    )
  if delimiter.ndim == 1:
    ids = delimiter.tolist()
    delimiter = automaton.token_automaton(ids) if ids else _NO_DELIMITER
  padded = lambda ids, capacity: [*ids, *[-1] * (capacity - len(ids))]
  forced = after_thinking, on_truncation, on_budget  # the order of the rows
  return StoppingRule(
    stop_ids=jnp.array(padded(stop_ids, STOP_IDS), jnp.int32),
    max_tokens=jnp.int32(max_tokens),
    pad_id=jnp.int32(pad_id),
    delimiter=jnp.asarray(delimiter),
    max_thinking_tokens=jnp.int32(max_thinking_tokens),
    forced_tokens=jnp.array([padded(x, FORCED_IDS) for x in forced], jnp.int32),
    max_answer_tokens=jnp.int32(max_answer_tokens),
    budget=jnp.int32(budget),
  )


class ThinkingState(NamedTuple):
  """Progress of the thinking of each row."""

  delimiter: Int[Array, 'b']  # state of the automaton
  end: Int[Array, 'b']  # first position after it; _NEVER while it goes on
  end_reason: Int[Array, 'b']  # row of stop.forced_tokens that follows


def init_state(thinks: Bool[Array, 'b']) -> ThinkingState:
  """The state of rows that begin with the thinking (`thinks`) or the answer."""
  none = jnp.zeros(thinks.shape, jnp.int32)
  return ThinkingState(none, jnp.where(thinks, jnp.int32(_NEVER), none), none)


def apply_limits(
  stop: StoppingRule, state: ThinkingState, step: Int[Array, '*b']
) -> ThinkingState:
  """The state before position `step`: ends the thinking at its limit or the
  budget, and at the budget an answer that followed a natural end."""
  thinks, spent = step < state.end, step >= stop.budget
  truncated = thinks & (spent | (step >= stop.max_thinking_tokens))
  text = stop.forced_tokens[_ON_BUDGET, 0] >= 0  # else only forced text is cut
  late = (
    ~thinks
    & spent
    & (text | (forced_token(stop, state, step) >= 0))
    # After a truncation the forced text has already begun the answer.
    & (state.end_reason == _AFTER_THINKING)
    & has_room(stop, state, step)
  )
  end_reason = jnp.where(
    truncated, _ON_TRUNCATION, jnp.where(late, _ON_BUDGET, state.end_reason)
  )
  # A late answer moves `end` too: forced tokens are counted from it.
  return state._replace(
    end=jnp.where(truncated | late, step, state.end), end_reason=end_reason
  )


def forced_token(
  stop: StoppingRule, state: ThinkingState, step: Int[Array, '*b']
) -> Int[Array, 'b']:
  """The token forced at position `step` of each row, -1 for none."""
  index = step - state.end
  capacity = stop.forced_tokens.shape[1]
  token = stop.forced_tokens[state.end_reason, jnp.clip(index, 0, capacity - 1)]
  return jnp.where((index >= 0) & (index < capacity), token, -1)


def update(
  stop: StoppingRule,
  state: ThinkingState,
  step: Int[Array, '*b'],
  token: Int[Array, 'b'],
) -> tuple[ThinkingState, Bool[Array, 'b']]:
  """The state after this token at position `step`, and the rows it ends."""
  thinks = step < state.end
  delimiter = automaton.step(stop.delimiter, state.delimiter, token)
  complete = thinks & (delimiter == stop.delimiter.shape[0] - 1)
  stopped = jnp.any(token[:, None] == stop.stop_ids[None], axis=-1)
  # A stop token in the thinking truncates it, if there is text to force then.
  early = thinks & stopped & (stop.forced_tokens[_ON_TRUNCATION, 0] >= 0)
  end = jnp.where(complete | early, step + 1, state.end)
  end_reason = jnp.where(early & ~complete, _ON_TRUNCATION, state.end_reason)
  return ThinkingState(delimiter, end, end_reason), stopped & ~early


def has_room(
  stop: StoppingRule, state: ThinkingState, step: Int[Array, '*b']
) -> Bool[Array, 'b']:
  """Whether position `step` is within `stop.max_answer_tokens` of each row."""
  forced = jnp.sum(stop.forced_tokens >= 0, axis=-1)[state.end_reason]
  return step - state.end - forced < stop.max_answer_tokens
