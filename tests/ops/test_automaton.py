"""The automaton over tokens against substring search in the decoded text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_latent.ops.automaton import (
  delimiter_automaton,
  step,
  token_automaton,
  unfinished,
)

VOCAB = 8

# Two letters only: borders and overlaps are then the rule.
text = st.lists(st.sampled_from(b'ab'), max_size=6).map(bytes)
program = jax.jit(unfinished)


def _thinking(table, rows):
  return np.asarray(program(table, np.array(rows))).tolist()


def _by_search(delimiter, token_bytes, tokens):
  prefixes = [
    b''.join(token_bytes[token] for token in tokens[:end])
    for end in range(1, len(tokens) + 1)
  ]
  return [delimiter not in prefix for prefix in prefixes]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(text.filter(len), st.lists(text, max_size=VOCAB - 2), st.integers(0))
def test_agrees_with_substring_search(delimiter, token_bytes, seed):
  token_bytes = [b'a', b'b', *token_bytes]
  rows = np.random.default_rng(seed).integers(len(token_bytes), size=(32, 16))
  table = delimiter_automaton(delimiter, token_bytes, VOCAB)
  # One shape for all delimiters, so that one program serves every example.
  grown = np.concatenate([table[:-1], np.tile(table[-1:], (8 - len(table), 1))])
  grown[grown == len(delimiter)] = 7
  expected = [_by_search(delimiter, token_bytes, row) for row in rows]
  assert _thinking(grown, rows) == expected


@pytest.mark.parametrize(
  ('tokens', 'expected'),
  [
    (['#', '#', '#', '#'], [True, True, True, False]),
    (['##', '##', 'x'], [True, False, False]),
    ([' #### 42'], [False]),
    (['x###', 'y', '#'], [True, True, True]),
    (['###', '#4', 'x'], [True, False, False]),
    (['#', '##', ' ', '#####'], [True, True, True, False]),
  ],
)
def test_splits_of_the_gsm8k_delimiter(tokens, expected):
  token_bytes = sorted({token.encode() for token in tokens})
  ids = [token_bytes.index(token.encode()) for token in tokens]
  table = delimiter_automaton(b'####', token_bytes, VOCAB)
  assert table.shape == (5, VOCAB) and table.dtype == np.int8
  assert _thinking(table, [ids]) == [expected]


def test_a_delimiter_split_inside_a_character():
  delimiter = '答案'.encode()
  token_bytes = [delimiter[:2], delimiter[2:5], delimiter[5:]]
  table = delimiter_automaton(delimiter, token_bytes, 3)
  assert _thinking(table, [[0, 1, 2], [0, 2, 1]]) == [
    [True, True, False],
    [True, True, True],
  ]


def test_steps_are_the_scan():
  table = jnp.array(delimiter_automaton(b'aab', [b'a', b'b', b'aa'], 3))
  rows = jnp.array([[2, 0, 1, 0], [0, 1, 2, 2]])
  state, found = jnp.zeros(2, jnp.int32), []
  for tokens in rows.T:
    state = step(table, state, tokens)
    found.append(np.asarray(state) < 3)
  assert np.stack(found, axis=1).tolist() == _thinking(table, rows)


def test_ids_beyond_the_tokenizer_add_nothing():
  table = delimiter_automaton(b'ab', [b'a', b'b', b''], 5)
  expected = [True, True, True, True, False]
  assert _thinking(table, [[0, 2, 4, 3, 1]]) == [expected]


def test_an_empty_delimiter_never_completes():
  table = delimiter_automaton(b'', [b'a', b''], 4)
  assert _thinking(table, [[0, 1, 2, 3]]) == [[True] * 4]


def test_token_ids_are_completed_in_their_order():
  """Other ids, beyond the table too, change nothing but the order."""
  ids, other = [1, 2, 1, 0], [3, 99]
  rows = np.random.default_rng(0).choice([0, 1, 2, *other], size=(256, 16))
  rows[:8, 3:7] = ids
  found = [
    [
      ids not in [[*row[i : i + 4]] for i in range(end - 2)]
      for end in range(16)
    ]
    for row in rows
  ]
  assert not all(map(all, found))
  assert _thinking(token_automaton(ids), rows) == found


def test_errors_say_what_to_do():
  with pytest.raises(ValueError, match='127 bytes: write at most 126'):
    delimiter_automaton(b'x' * 127, [b'x'], 4)
  with pytest.raises(ValueError, match='5 ids, the model 4 rows'):
    delimiter_automaton(b'x', [b'x'] * 5, 4)
  longest = delimiter_automaton(b'x' * 126, [b'x', b'x' * 126], 2)
  assert longest[0].tolist() == [1, 126]


@pytest.mark.parametrize('ids', [[], [-1], [0] * 127])
def test_token_ids_are_some_and_no_padding(ids):
  with pytest.raises(ValueError, match=r'delimiter .*: write 1 to 126 ids'):
    token_automaton(ids)
