"""Where the thinking of each row ends, and what is written then.

It ends by itself when the delimiter is complete. It is cut at its limit, or at
a stop token that comes too early where something is to be written after a cut.
Then follow the tokens of `stop.closing`, whatever the model would have said,
and the answer. So Soft Tokens prefills its answer, and so s1 forces a budget
(arXiv 2501.19393); one that runs out during the answer is forced likewise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from hybrid_latent.ops import automaton
from hybrid_latent.types import Stop

STOP_IDS, CLOSING_IDS = 8, 32  # room for as many: other ids do not recompile
_NEVER = 2**30
_NO_DELIMITER = np.zeros((2, 1), np.int8)  # an id past it stays in its state
_ENDED, _CUT, _LATE = range(3)  # rows of stop.closing


def stop_rule(
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
) -> Stop:
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
    ('after_thinking', after_thinking, CLOSING_IDS),
    ('on_truncation', on_truncation, CLOSING_IDS),
    ('on_budget', on_budget, CLOSING_IDS),
  ):
    if len(ids) > room or min(ids, default=0) < 0:
      raise ValueError(
        f'stop_rule: {name}={list(ids)}: write at most {room} ids, all >= 0'
      )
  if min(max_tokens, max_thinking_tokens, max_answer_tokens, budget) < 1:
    raise ValueError(
      f'stop_rule: max_tokens={max_tokens}, max_thinking_tokens='
      f'{max_thinking_tokens}, max_answer_tokens={max_answer_tokens}, '
      f'budget={budget}: each is a number of tokens, at least 1'
    )
  delimiter = np.asarray(end_of_thinking)
  if delimiter.ndim == 1:
    ids = delimiter.tolist()
    delimiter = automaton.token_automaton(ids) if ids else _NO_DELIMITER
  padded = lambda ids, room: [*ids, *[-1] * (room - len(ids))]
  return Stop(
    tokens=jnp.array(padded(stop_ids, STOP_IDS), jnp.int32),
    limit=jnp.int32(max_tokens),
    pad=jnp.int32(pad_id),
    delimiter=jnp.asarray(delimiter),
    thinking=jnp.int32(max_thinking_tokens),
    closing=jnp.array(
      [
        padded(x, CLOSING_IDS)
        for x in (after_thinking, on_truncation, on_budget)
      ],
      jnp.int32,
    ),
    answer=jnp.int32(max_answer_tokens),
    budget=jnp.int32(budget),
  )


class Thinking(NamedTuple):
  """How far the thinking of each row has come."""

  delimiter: Int[Array, 'b']  # state of the automaton
  end: Int[Array, 'b']  # the first position after it; far while it goes on
  how: Int[Array, 'b']  # row of stop.closing that follows


def begun(thinks: Bool[Array, 'b']) -> Thinking:
  """Rows that begin to think, and rows that have done so."""
  none = jnp.zeros(thinks.shape, jnp.int32)
  return Thinking(none, jnp.where(thinks, _NEVER, 0), none)


def cut_at_limit(stop: Stop, rows: Thinking, step: Int[Array, '']) -> Thinking:
  """The rows before position `step`: too long a thinking ends here, and the
  budget of an answer that came by itself."""
  thinks, spent = step < rows.end, step >= stop.budget
  over = thinks & (spent | (step >= stop.thinking))
  late = ~thinks & spent & (rows.how == _ENDED) & answering(stop, rows, step)
  how = jnp.where(over, _CUT, jnp.where(late, _LATE, rows.how))
  return rows._replace(end=jnp.where(over | late, step, rows.end), how=how)


def forced_token(
  stop: Stop, rows: Thinking, step: Int[Array, '']
) -> Int[Array, 'b']:
  """The token that position `step` of each row has to hold, -1 for any."""
  at = step - rows.end
  room = stop.closing.shape[1]
  token = stop.closing[rows.how, jnp.clip(at, 0, room - 1)]
  return jnp.where((at >= 0) & (at < room), token, -1)


def after(
  stop: Stop, rows: Thinking, step: Int[Array, ''], token: Int[Array, 'b']
) -> tuple[Thinking, Bool[Array, 'b']]:
  """The rows with this token at position `step`, and which of them it ends."""
  inside = step < rows.end
  delimiter = automaton.step(stop.delimiter, rows.delimiter, token)
  complete = inside & (delimiter == stop.delimiter.shape[0] - 1)
  stopped = jnp.any(token[:, None] == stop.tokens[None], axis=-1)
  early = inside & stopped & (stop.closing[1, 0] >= 0)
  end = jnp.where(complete | early, step + 1, rows.end)
  how = jnp.where(early & ~complete, _CUT, rows.how)
  return Thinking(delimiter, end, how), stopped & ~early


def answering(
  stop: Stop, rows: Thinking, step: Int[Array, '']
) -> Bool[Array, 'b']:
  """Whether the answer of each row has room for position `step`."""
  written = jnp.sum(stop.closing >= 0, axis=-1)[rows.how]
  return step - rows.end - written < stop.answer
