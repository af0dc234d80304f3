"""Where the thinking ends and what is forced then, against a plain loop.

The rollout runs on a model that says what it is told.
"""

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.ops.automaton import delimiter_automaton
from hybrid_latent.ops.thinking import CLOSING_IDS, STOP_IDS, stop_rule
from tests.scripted import program, recited

SPELLED = [b'a', b'b', b'ab', b'c', b'', b'd', b'e', b'f']
DELIMITER, ROWS, STEPS, PAD = b'ab', 3, 40, 7
TABLE = delimiter_automaton(DELIMITER, SPELLED, len(SPELLED))
ids = st.integers(0, len(SPELLED) - 1)
rules = st.fixed_dictionaries(
  {
    'tokens': st.lists(ids, max_size=2),
    'limit': st.integers(1, STEPS + 3),
  },
  optional={
    'thinking': st.integers(1, 12),
    'ended': st.lists(ids, max_size=4),
    'cut': st.lists(ids, max_size=4),
    'answer': st.integers(1, 6),
  },
)
scripts = st.lists(
  st.lists(ids, min_size=12, max_size=12), min_size=ROWS, max_size=ROWS
)


def spoken(script, rule):
  """The rollout of this script; from its end on it says 'c'."""
  words = np.full((ROWS, STEPS), 3)
  for row, tokens in zip(words, script, strict=True):
    row[: len(tokens)] = tokens
  rule = {'tokens': [], 'limit': STEPS} | rule
  stop = stop_rule(pad=PAD, delimiter=TABLE, **rule)
  return words, recited(words, discrete(), stop, vocab=len(SPELLED))


def by_hand(
  words, *, tokens, limit, thinking=STEPS, ended=(), cut=(), answer=STEPS
):
  """What one row should hold: lists of tokens, of which are its own, of after
  which the thinking goes on; and whether a stop token came."""
  written, free, thinks, text = [], [], [], b''
  to_come = None  # ids still to be forced; None while it thinks
  for word in words[:limit]:
    if to_come is None and len(written) == thinking:
      to_come = [*cut]
    if to_come == []:
      if not answer:
        break
      answer -= 1
    free.append(not to_come)
    token = to_come.pop(0) if to_come else int(word)
    written.append(token)
    stops = token in tokens
    if to_come is None:
      text += SPELLED[token]
      if stops and cut:
        to_come, stops = [*cut], False
      if DELIMITER in text:
        to_come = [*ended]
    thinks.append(to_come is None)
    if stops:
      return written, free, thinks, True
  return written, free, thinks, False


@settings(max_examples=150, deadline=None, derandomize=True)
@given(script=scripts, rule=rules)
@example([[3, 0, 1, 3]] * ROWS, {'ended': [4, 0, 1], 'answer': 2})
@example([[3, 3], [0, 1], [3, 2]], {'thinking': 2, 'ended': [5], 'cut': [6]})
@example([[3, 2], [3, 3, 2], [2]], {'tokens': [2], 'ended': [5], 'cut': [6]})
@example([[3, 6], [6], [2, 6]], {'tokens': [6], 'ended': [5, 6], 'cut': [5, 5]})
@example([[3] * 9] * ROWS, {'thinking': 4, 'cut': [5] * CLOSING_IDS})
def test_rows_are_those_of_a_plain_loop(script, rule):
  words, out = spoken(script, rule)
  rule = {'tokens': [], 'limit': STEPS} | rule
  for i, row in enumerate(words):
    tokens, free, thinks, ended = by_hand(row, **rule)
    n = len(tokens)
    assert out.tokens[i].tolist() == tokens + [PAD] * (STEPS - n)
    assert out.mask[i].tolist() == [True] * n + [False] * (STEPS - n)
    assert out.free[i].tolist() == free + [False] * (STEPS - n)
    assert out.thinking[i].tolist() == thinks + [False] * (STEPS - n)
    assert out.ended[i] == ended
  assert out.steps == out.lengths.max()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(script=scripts, rule=rules)
def test_budgets_are_hard_bounds(script, rule):
  _, out = spoken(script, rule)
  thinking, answer = rule.get('thinking', STEPS), rule.get('answer', STEPS)
  closing = max(len(rule.get(name, ())) for name in ('ended', 'cut'))
  assert (out.thinking.sum(-1) <= thinking).all()
  assert ((out.mask & ~out.free).sum(-1) <= closing).all()
  assert (out.lengths <= min(rule['limit'], thinking + closing + answer)).all()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(script=scripts, rule=rules)
def test_budgets_that_are_not_reached_change_nothing(script, rule):
  """Nor does a text for a cut that never comes."""
  plain = {name: rule[name] for name in ('tokens', 'limit')}
  _, expected = spoken(script, plain)
  assert (expected.free == expected.mask).all()
  wide = {'thinking': STEPS, 'answer': STEPS, 'ended': [], 'cut': []}
  _, out = spoken(script, plain | wide)
  jax.tree.map(np.testing.assert_array_equal, out, expected)
  _, out = spoken(script, {'limit': rule['limit'], 'cut': rule.get('cut', [5])})
  _, expected = spoken(script, {'limit': rule['limit']})
  jax.tree.map(np.testing.assert_array_equal, out, expected)


def test_no_rule_recompiles():
  spoken([[3]] * ROWS, {'tokens': [6], 'limit': 3})
  programs = program._cache_size()
  rule = {'thinking': 2, 'ended': [5], 'cut': [6, 6], 'answer': 2}
  spoken([[3]] * ROWS, rule)
  assert program._cache_size() == programs


@pytest.mark.parametrize(
  ('settings', 'told'),
  [
    ({'tokens': [*range(9)]}, f'tokens=.*8.*at most {STOP_IDS} ids, all >= 0'),
    ({'tokens': [2, -1]}, r'tokens=\[2, -1\]: .* all >= 0'),
    ({'ended': [1] * 33}, f'ended=.*: at most {CLOSING_IDS} ids'),
    ({'cut': [-1]}, r'cut=\[-1\]'),
    ({'limit': 0}, 'limit=0, .*at least 1'),
    ({'thinking': 0}, 'thinking=0, .*at least 1'),
    ({'answer': 0}, 'answer=0: .*at least 1'),
  ],
)
def test_errors_say_what_is_accepted(settings, told):
  given = {'tokens': [], 'limit': 5, 'pad': 0, 'delimiter': TABLE} | settings
  with pytest.raises(ValueError, match=told):
    stop_rule(**given)
