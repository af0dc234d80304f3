"""Where the thinking of each row ends, and what is written then.

It ends by itself when the delimiter is complete. It is cut at its limit, or at
a stop token that comes too early where something is to be written after a cut.
Then follow the tokens of `stop.closing`, whatever the model would have said,
and the answer. So Soft Tokens prefills its answer, and so s1 forces a budget
(arXiv 2501.19393).
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


def stop_rule(
  tokens: Sequence[int],
  limit: int,
  pad: int,
  delimiter: Int[np.ndarray, 'a v'],
  *,
  thinking: int = _NEVER,
  ended: Sequence[int] = (),
  cut: Sequence[int] = (),
  answer: int = _NEVER,
) -> Stop:
  """Checked settings, as arrays.

  Args:
    tokens: ids that end a row.
    limit: tokens that a row may have in all.
    pad: id written after a row has ended.
    delimiter: the automaton of what ends the thinking.
    thinking: tokens that the thinking may have.
    ended, cut: ids written after a thinking that ended by itself, or was cut.
    answer: tokens that a row may have after those.
  """
  for name, ids, room in (
    ('tokens', tokens, STOP_IDS),
    ('ended', ended, CLOSING_IDS),
    ('cut', cut, CLOSING_IDS),
  ):
    if len(ids) > room or min(ids, default=0) < 0:
      raise ValueError(
        f'stop: {name}={list(ids)}: at most {room} ids, all >= 0'
      )
  if min(limit, thinking, answer) < 1:
    raise ValueError(
      f'stop: limit={limit}, thinking={thinking}, answer={answer}: each is a '
      'number of tokens, at least 1'
    )
  padded = lambda ids, room: [*ids, *[-1] * (room - len(ids))]
  return Stop(
    tokens=jnp.array(padded(tokens, STOP_IDS), jnp.int32),
    limit=jnp.int32(limit),
    pad=jnp.int32(pad),
    delimiter=jnp.asarray(delimiter),
    thinking=jnp.int32(thinking),
    closing=jnp.array(
      [padded(x, CLOSING_IDS) for x in (ended, cut)], jnp.int32
    ),
    answer=jnp.int32(answer),
  )


class Thinking(NamedTuple):
  """How far the thinking of each row has come."""

  delimiter: Int[Array, 'b']  # state of the automaton
  end: Int[Array, 'b']  # the first position after it; far while it goes on
  cut: Bool[Array, 'b']  # it did not end by itself


def unlimited(batch: int) -> Thinking:
  """Rows that begin to think."""
  return Thinking(
    jnp.zeros(batch, jnp.int32),
    jnp.full(batch, _NEVER, jnp.int32),
    jnp.zeros(batch, bool),
  )


def cut_at_limit(stop: Stop, rows: Thinking, step: Int[Array, '']) -> Thinking:
  """The rows before position `step`: too long a thinking ends here."""
  over = (step < rows.end) & (step >= stop.thinking)
  return rows._replace(end=jnp.where(over, step, rows.end), cut=rows.cut | over)


def forced_token(
  stop: Stop, rows: Thinking, step: Int[Array, '']
) -> Int[Array, 'b']:
  """The token that position `step` of each row has to hold, -1 for any."""
  at = step - rows.end
  room = stop.closing.shape[1]
  token = stop.closing[rows.cut.astype(jnp.int32), jnp.clip(at, 0, room - 1)]
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
  cut = rows.cut | (early & ~complete)
  return Thinking(delimiter, end, cut), stopped & ~early


def answering(
  stop: Stop, rows: Thinking, step: Int[Array, '']
) -> Bool[Array, 'b']:
  """Whether the answer of each row has room for position `step`."""
  written = jnp.sum(stop.closing >= 0, axis=-1)[rows.cut.astype(jnp.int32)]
  return step - rows.end - written < stop.answer
