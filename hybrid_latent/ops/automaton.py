"""Detection of a delimiter in sampled text on the device.

A delimiter such as `####` can be split into tokens in many ways, and its last
byte can be inside a token. The Knuth-Morris-Pratt automaton over bytes,
composed over the bytes of every vocabulary entry, gives a table
`[states, vocab]` with one transition per token: state i means that the last i
bytes of the text are the longest prefix of the delimiter; the last state is
absorbing and means that the delimiter is complete.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Int8


def delimiter_automaton(
  delimiter: bytes, token_bytes: Sequence[bytes], vocab: int
) -> Int8[np.ndarray, 'a {vocab}']:
  """The automaton's table, of len(delimiter) + 1 states. `token_bytes[i]` are
  the bytes of id i; ids beyond (padding rows of an embedding) have none. The
  automaton of an empty delimiter never completes."""
  if not delimiter:
    return np.zeros((2, vocab), np.int8)
  if len(delimiter) > 126:
    raise ValueError(
      f'delimiter {delimiter!r} has {len(delimiter)} bytes: write at most 126'
    )
  if len(token_bytes) > vocab:
    raise ValueError(
      f'the tokenizer has {len(token_bytes)} ids, the model {vocab} rows: '
      "load the model's tokenizer"
    )
  byte_step = _transitions(delimiter, 256)
  states = np.arange(len(delimiter) + 1, dtype=np.int8)
  table = np.repeat(states[:, None], vocab, axis=1)
  for token, text in enumerate(token_bytes):
    state = states
    for byte in text:
      state = byte_step[state, byte]
    table[:, token] = state
  return table


def token_automaton(ids: Sequence[int]) -> Int8[np.ndarray, 'a ids']:
  """[len(ids) + 1, max(ids) + 2]: completed by these tokens in this order, not
  by others with the same text. The last column is that of every id beyond it,
  since JAX clips an index that is out of bounds."""
  if not 0 < len(ids) <= 126 or min(ids) < 0:
    raise ValueError(f'delimiter {[*ids]}: write 1 to 126 ids, all >= 0')
  return _transitions(ids, max(ids) + 2)


def step(
  table: Int[Array, 'a v'], state: Int[Array, 'b'], token: Int[Array, 'b']
) -> Int[Array, 'b']:
  """The state after one more token."""
  return table[state, token].astype(jnp.int32)


def unfinished(
  table: Int[Array, 'a v'], tokens: Int[Array, 'b t']
) -> Bool[Array, 'b t']:
  """True where the delimiter is not complete after this token."""

  def advance(state, token):
    state = step(table, state, token)
    return state, state < table.shape[0] - 1

  start = jnp.zeros(tokens.shape[0], jnp.int32)
  _, thinking = jax.lax.scan(advance, start, tokens.T)
  return thinking.T


def _transitions(
  delimiter: Sequence[int], symbols: int
) -> Int8[np.ndarray, 'a {symbols}']:
  """Transitions of the Knuth-Morris-Pratt automaton."""
  n = len(delimiter)
  table = np.zeros((n + 1, symbols), np.int8)
  table[0, delimiter[0]] = 1
  border = 0  # state of delimiter[1:state], the fallback of a mismatch
  for state in range(1, n):
    table[state] = table[border]
    table[state, delimiter[state]] = state + 1
    border = table[border, delimiter[state]]
  table[n] = n  # absorbing
  return table
