"""Where the thinking of each row ends, and what is written then.

It ends by itself when the delimiter is complete. It is cut at its limit, or at
a stop token that comes too early where something is to be written after a cut.
Then follow the tokens of `stop.forced_tokens`, whatever the model would have
said, and the answer. So Soft Tokens prefills its answer, and so s1 forces a
budget (arXiv 2501.19393); one that runs out during the answer is forced
likewise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from hybrid_latent.ops import automaton
from hybrid_latent.types import StoppingRule

STOP_IDS, FORCED_IDS = 8, 32  # room for as many: other ids do not recompile
_NEVER = 2**30
_NO_DELIMITER = np.zeros((2, 1), np.int8)  # an id past it stays in its state
_AFTER_THINKING, _ON_TRUNCATION, _ON_BUDGET = range(
  3
)  # rows of stop.forced_tokens


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
  """Checked settings, as arrays.

  Args:
    stop_ids: ids that end a completion.
    max_tokens: of a completion in all.
    pad_id: written after a completion has ended, where nothing reads it.
    end_of_thinking: ids that end the thinking in this order, or the automaton
      of a text (`ops.automaton.delimiter_automaton`); by default nothing does.
    max_thinking_tokens: of the thinking, which is cut there.
    after_thinking, on_truncation: ids forced after a thinking that ended by
      itself, or was cut.
    on_budget: ids forced at the budget, into an answer that has not ended.
    max_answer_tokens: of a completion after those.
    budget: tokens after which thinking or answer are cut.
  """
  for name, ids, room in (
    ('stop_ids', stop_ids, STOP_IDS),
    ('after_thinking', after_thinking, FORCED_IDS),
    ('on_truncation', on_truncation, FORCED_IDS),
    ('on_budget', on_budget, FORCED_IDS),
  ):
    if len(ids) > room or min(ids, default=0) < 0:
      raise ValueError(
        f'stopping_rule: {name}={list(ids)}: write at most {room} ids, all >= 0'
      )
  if min(max_tokens, max_thinking_tokens, max_answer_tokens, budget) < 1:
    raise ValueError(
      f'stopping_rule: max_tokens={max_tokens}, max_thinking_tokens='
      f'{max_thinking_tokens}, max_answer_tokens={max_answer_tokens}, '
      f'budget={budget}: each is a number of tokens, at least 1'
    )
  delimiter = np.asarray(end_of_thinking)
  if delimiter.ndim == 1:
    ids = delimiter.tolist()
    delimiter = automaton.token_automaton(ids) if ids else _NO_DELIMITER
  padded = lambda ids, room: [*ids, *[-1] * (room - len(ids))]
  return StoppingRule(
    stop_ids=jnp.array(padded(stop_ids, STOP_IDS), jnp.int32),
    max_tokens=jnp.int32(max_tokens),
    pad_id=jnp.int32(pad_id),
    delimiter=jnp.asarray(delimiter),
    max_thinking_tokens=jnp.int32(max_thinking_tokens),
    forced_tokens=jnp.array(
      [
        padded(x, FORCED_IDS)
        for x in (after_thinking, on_truncation, on_budget)
      ],
      jnp.int32,
    ),
    max_answer_tokens=jnp.int32(max_answer_tokens),
    budget=jnp.int32(budget),
  )


class ThinkingState(NamedTuple):
  """How far the thinking of each row has come."""

  delimiter: Int[Array, 'b']  # state of the automaton
  end: Int[Array, 'b']  # the first position after it; far while it goes on
  end_reason: Int[Array, 'b']  # row of stop.forced_tokens that follows


def init_state(thinks: Bool[Array, 'b']) -> ThinkingState:
  """Rows that begin to think, and rows that have done so."""
  none = jnp.zeros(thinks.shape, jnp.int32)
  return ThinkingState(none, jnp.where(thinks, _NEVER, 0), none)


def apply_limits(
  stop: StoppingRule, state: ThinkingState, step: Int[Array, '']
) -> ThinkingState:
  """The rows before position `step`: too long a thinking ends here, and the
  budget of an answer that came by itself."""
  thinks, spent = step < state.end, step >= stop.budget
  over = thinks & (spent | (step >= stop.max_thinking_tokens))
  late = (
    ~thinks
    & spent
    & (state.end_reason == _AFTER_THINKING)
    & has_room(stop, state, step)
  )
  end_reason = jnp.where(
    over, _ON_TRUNCATION, jnp.where(late, _ON_BUDGET, state.end_reason)
  )
  return state._replace(
    end=jnp.where(over | late, step, state.end), end_reason=end_reason
  )


def forced_token(
  stop: StoppingRule, state: ThinkingState, step: Int[Array, '']
) -> Int[Array, 'b']:
  """The token that position `step` of each row has to hold, -1 for any."""
  at = step - state.end
  room = stop.forced_tokens.shape[1]
  token = stop.forced_tokens[state.end_reason, jnp.clip(at, 0, room - 1)]
  return jnp.where((at >= 0) & (at < room), token, -1)


def update(
  stop: StoppingRule,
  state: ThinkingState,
  step: Int[Array, ''],
  token: Int[Array, 'b'],
) -> tuple[ThinkingState, Bool[Array, 'b']]:
  """The rows with this token at position `step`, and which of them it ends."""
  inside = step < state.end
  delimiter = automaton.step(stop.delimiter, state.delimiter, token)
  complete = inside & (delimiter == stop.delimiter.shape[0] - 1)
  stopped = jnp.any(token[:, None] == stop.stop_ids[None], axis=-1)
  early = inside & stopped & (stop.forced_tokens[1, 0] >= 0)
  end = jnp.where(complete | early, step + 1, state.end)
  end_reason = jnp.where(early & ~complete, _ON_TRUNCATION, state.end_reason)
  return ThinkingState(delimiter, end, end_reason), stopped & ~early


def has_room(
  stop: StoppingRule, state: ThinkingState, step: Int[Array, '']
) -> Bool[Array, 'b']:
  """Whether the answer of each row has room for position `step`."""
  written = jnp.sum(stop.forced_tokens >= 0, axis=-1)[state.end_reason]
  return step - state.end - written < stop.max_answer_tokens
