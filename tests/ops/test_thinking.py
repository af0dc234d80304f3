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
from hybrid_latent.types import Mode
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
    'late': st.lists(ids, max_size=4),
    'answer': st.integers(1, 6),
    'budget': st.integers(1, 20),
  },
)
scripts = st.lists(
  st.lists(ids, min_size=12, max_size=12), min_size=ROWS, max_size=ROWS
)
modes = st.lists(st.sampled_from(Mode), min_size=ROWS, max_size=ROWS)
THINK, ANSWER = [Mode.EXPLICIT] * ROWS, [Mode.NEITHER] * ROWS


def spoken(script, rule, modes=THINK):
  """The rollout of this script; from its end on it says 'c'."""
  words = np.full((ROWS, STEPS), 3)
  for row, tokens in zip(words, script, strict=True):
    row[: len(tokens)] = tokens
  rule = {'tokens': [], 'limit': STEPS} | rule
  stop = stop_rule(pad=PAD, delimiter=TABLE, **rule)
  mode = np.array(modes, np.int32)
  out = recited(words, discrete(), stop, vocab=len(SPELLED), mode=mode)
  return words, out


def by_hand(
  words,
  mode,
  *,
  tokens,
  limit,
  thinking=STEPS,
  ended=(),
  cut=(),
  late=(),
  answer=STEPS,
  budget=STEPS,
):
  """What one row should hold: lists of tokens, of which are its own, of after
  which the thinking goes on; and whether a stop token came."""
  written, free, thinks, text = [], [], [], b''
  # Ids still to be forced; None while it thinks.
  to_come = None if mode is Mode.EXPLICIT else [*ended]
  left, forced = answer, False  # tokens of the answer; it was not let end
  for word in words[:limit]:
    spent = len(written) >= budget
    if to_come == [] and not left:
      break
    if to_come is None and (spent or len(written) == thinking):
      to_come, forced = [*cut], True
    elif spent and not forced:
      to_come, left, forced = [*late], answer, True
    if to_come == []:
      left -= 1
    free.append(not to_come)
    token = to_come.pop(0) if to_come else int(word)
    written.append(token)
    stops = token in tokens
    if to_come is None:
      text += SPELLED[token]
      if stops and cut:
        to_come, stops, forced = [*cut], False, True
      if DELIMITER in text:
        to_come, forced = [*ended], False
    thinks.append(to_come is None)
    if stops:
      return written, free, thinks, True
  return written, free, thinks, False


@settings(max_examples=150, deadline=None, derandomize=True)
@given(script=scripts, rule=rules, modes=modes)
@example([[3, 0, 1, 3]] * 3, {'ended': [4, 0, 1], 'answer': 2}, THINK)
@example(
  [[3], [0, 1], [3, 2]], {'thinking': 2, 'ended': [5], 'cut': [6]}, THINK
)
@example(
  [[3, 2], [3, 2], [2]], {'tokens': [2], 'ended': [5], 'cut': [6]}, THINK
)
@example([[6], [2, 6]] * 2, {'tokens': [6], 'ended': [6], 'cut': [5, 5]}, THINK)
@example([[3] * 9] * 3, {'thinking': 4, 'cut': [5] * CLOSING_IDS}, THINK)
@example([[0, 1], [3], [2]], {'answer': 2, 'budget': 9, 'late': [4]}, [*Mode])
@example([[6], [6], [2]], {'tokens': [6], 'budget': 3, 'late': [4]}, [*Mode])
def test_rows_are_those_of_a_plain_loop(script, rule, modes):
  words, out = spoken(script[:ROWS], rule, modes)
  rule = {'tokens': [], 'limit': STEPS} | rule
  for i, (row, mode) in enumerate(zip(words, modes, strict=True)):
    tokens, free, thinks, ended = by_hand(row, mode, **rule)
    n = len(tokens)
    assert out.tokens[i].tolist() == tokens + [PAD] * (STEPS - n)
    assert out.mask[i].tolist() == [True] * n + [False] * (STEPS - n)
    assert out.free[i].tolist() == free + [False] * (STEPS - n)
    assert out.thinking[i].tolist() == thinks + [False] * (STEPS - n)
    assert out.ended[i] == ended
  assert out.steps == out.lengths.max()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(script=scripts, rule=rules, modes=modes)
def test_budgets_are_hard_bounds(script, rule, modes):
  _, out = spoken(script, rule, modes)
  names = 'thinking', 'answer', 'budget'
  thinking, answer, budget = (rule.get(name, STEPS) for name in names)
  ended, cut, late = (len(rule.get(n, ())) for n in ('ended', 'cut', 'late'))
  assert (out.thinking.sum(-1) <= min(thinking, budget)).all()
  assert ((out.mask & ~out.free).sum(-1) <= max(cut, ended + late)).all()
  assert (out.lengths <= rule['limit']).all()
  assert (out.lengths <= budget + max(cut, late) + answer).all()
  if budget == STEPS:
    assert (out.lengths <= thinking + max(cut, ended) + answer).all()


def test_a_budget_forces_an_answer_once():
  """A thinking that is open is cut; an answer that has not ended is continued;
  what has ended stays as it is."""
  script = [[3] * 9, [0, 1, 3, 3, 3, 3], [0, 1, 6]]
  rule = {'tokens': [6], 'budget': 4, 'cut': [4, 5], 'late': [2], 'limit': 8}
  _, out = spoken(script, rule)
  assert [row[: sum(mask)].tolist()
          for row, mask in zip(out.tokens, out.mask, strict=True)] == [
    [3, 3, 3, 3, 4, 5, 3, 3], [0, 1, 3, 3, 2, 3, 3, 3], [0, 1, 6]
  ]  # fmt: skip
  assert (out.mask & ~out.free).sum(-1).tolist() == [2, 1, 0]
  assert out.ended.tolist() == [False, False, True]


@pytest.mark.parametrize('modes', [THINK, ANSWER])
def test_an_answer_that_was_full_does_not_go_on_at_the_budget(modes):
  """While another row is still speaking."""
  script = [[0, 1], [0, 1], [3]]
  rule = {'answer': 3, 'budget': 9, 'late': [4], 'thinking': 12}
  _, out = spoken(script, rule, [*modes[:2], Mode.EXPLICIT])
  full = 5 if modes is THINK else 3
  assert out.lengths.tolist() == [full, full, 12]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(script=scripts, rule=rules)
def test_budgets_that_are_not_reached_change_nothing(script, rule):
  """Nor does a text for a cut that never comes."""
  plain = {name: rule[name] for name in ('tokens', 'limit')}
  _, expected = spoken(script, plain)
  assert (expected.free == expected.mask).all()
  wide = dict.fromkeys(['thinking', 'answer', 'budget'], STEPS)
  wide |= {'ended': [], 'cut': [], 'late': [5]}
  _, out = spoken(script, plain | wide)
  jax.tree.map(np.testing.assert_array_equal, out, expected)
  _, out = spoken(script, {'limit': rule['limit'], 'cut': rule.get('cut', [5])})
  _, expected = spoken(script, {'limit': rule['limit']})
  jax.tree.map(np.testing.assert_array_equal, out, expected)


def test_no_rule_recompiles():
  spoken([[3]] * ROWS, {'tokens': [6], 'limit': 3})
  programs = program._cache_size()
  rule = {'thinking': 2, 'ended': [5], 'cut': [6, 6], 'answer': 2}
  spoken([[3]] * ROWS, rule | {'late': [4], 'budget': 6}, ANSWER)
  assert program._cache_size() == programs


@pytest.mark.parametrize(
  ('settings', 'told'),
  [
    ({'tokens': [*range(9)]}, f'tokens=.*8.*at most {STOP_IDS} ids, all >= 0'),
    ({'tokens': [2, -1]}, r'tokens=\[2, -1\]: .* all >= 0'),
    ({'ended': [1] * 33}, f'ended=.*: at most {CLOSING_IDS} ids'),
    ({'cut': [-1]}, r'cut=\[-1\]'),
    ({'late': [1] * 33}, f'late=.*: at most {CLOSING_IDS} ids'),
    ({'limit': 0}, 'limit=0, .*at least 1'),
    ({'thinking': 0}, 'thinking=0, .*at least 1'),
    ({'budget': 0}, 'budget=0, .*at least 1'),
    ({'answer': 0}, 'answer=0: .*at least 1'),
  ],
)
def test_errors_say_what_is_accepted(settings, told):
  given = {'tokens': [], 'limit': 5, 'pad': 0, 'delimiter': TABLE} | settings
  with pytest.raises(ValueError, match=told):
    stop_rule(**given)
