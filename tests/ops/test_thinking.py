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
from hybrid_latent.ops.thinking import FORCED_IDS, STOP_IDS, stopping_rule
from hybrid_latent.types import Mode
from tests.scripted import program, recited

SPELLED = [b'a', b'b', b'ab', b'c', b'', b'd', b'e', b'f']
DELIMITER, ROWS, STEPS, PAD = b'ab', 3, 40, 7
TABLE = delimiter_automaton(DELIMITER, SPELLED, len(SPELLED))
ids = st.integers(0, len(SPELLED) - 1)
rules = st.fixed_dictionaries(
  {
    'stop_ids': st.lists(ids, max_size=2),
    'max_tokens': st.integers(1, STEPS + 3),
  },
  optional={
    'max_thinking_tokens': st.integers(1, 12),
    'after_thinking': st.lists(ids, max_size=4),
    'on_truncation': st.lists(ids, max_size=4),
    'on_budget': st.lists(ids, max_size=4),
    'max_answer_tokens': st.integers(1, 6),
    'budget': st.integers(1, 20),
  },
)
scripts = st.lists(
  st.lists(ids, min_size=12, max_size=12), min_size=ROWS, max_size=ROWS
)
modes = st.lists(st.sampled_from(Mode), min_size=ROWS, max_size=ROWS)
THINK, ANSWER = [Mode.CHAIN_OF_THOUGHT] * ROWS, [Mode.NO_THINKING] * ROWS


def spoken(script, rule, modes=THINK):
  """The rollout of this script; from its end on it says 'c'."""
  words = np.full((ROWS, STEPS), 3)
  for row, tokens in zip(words, script, strict=True):
    row[: len(tokens)] = tokens
  rule = {'stop_ids': [], 'max_tokens': STEPS} | rule
  stop = stopping_rule(pad_id=PAD, end_of_thinking=TABLE, **rule)
  mode = np.array(modes, np.int32)
  out = recited(words, discrete(), stop, vocab=len(SPELLED), mode=mode)
  return words, out


def by_hand(
  words,
  mode,
  *,
  stop_ids,
  max_tokens,
  max_thinking_tokens=STEPS,
  after_thinking=(),
  on_truncation=(),
  on_budget=(),
  max_answer_tokens=STEPS,
  budget=STEPS,
):
  """What one row should hold: lists of tokens, of which are its own, of after
  which the thinking goes on; and whether a stop token came."""
  written, free, thinks, text = [], [], [], b''
  # Ids still to be forced; None while it thinks.
  to_come = None if mode is Mode.CHAIN_OF_THOUGHT else [*after_thinking]
  left = max_answer_tokens
  forced = False  # it was not let end
  for word in words[:max_tokens]:
    spent = len(written) >= budget
    if to_come == [] and not left:
      break
    if to_come is None and (spent or len(written) == max_thinking_tokens):
      to_come, forced = [*on_truncation], True
    elif spent and not forced and (on_budget or to_come):
      to_come, left, forced = [*on_budget], max_answer_tokens, True
    if to_come == []:
      left -= 1
    free.append(not to_come)
    token = to_come.pop(0) if to_come else int(word)
    written.append(token)
    stops = token in stop_ids
    if to_come is None:
      text += SPELLED[token]
      if stops and on_truncation:
        to_come, stops, forced = [*on_truncation], False, True
      if DELIMITER in text:
        to_come, forced = [*after_thinking], False
    thinks.append(to_come is None)
    if stops:
      return written, free, thinks, True
  return written, free, thinks, False


@settings(max_examples=150, deadline=None, derandomize=True)
@given(script=scripts, rule=rules, modes=modes)
@example(
  [[3, 0, 1, 3]] * 3,
  {'after_thinking': [4, 0, 1], 'max_answer_tokens': 2},
  THINK,
)
@example(
  [[3], [0, 1], [3, 2]],
  {'max_thinking_tokens': 2, 'after_thinking': [5], 'on_truncation': [6]},
  THINK,
)
@example(
  [[3, 2], [3, 2], [2]],
  {'stop_ids': [2], 'after_thinking': [5], 'on_truncation': [6]},
  THINK,
)
@example(
  [[6], [2, 6]] * 2,
  {'stop_ids': [6], 'after_thinking': [6], 'on_truncation': [5, 5]},
  THINK,
)
@example(
  [[3] * 9] * 3,
  {'max_thinking_tokens': 4, 'on_truncation': [5] * FORCED_IDS},
  THINK,
)
@example(
  [[0, 1], [3], [2]],
  {'max_answer_tokens': 2, 'budget': 9, 'on_budget': [4]},
  [*Mode],
)
@example(
  [[6], [6], [2]], {'stop_ids': [6], 'budget': 3, 'on_budget': [4]}, [*Mode]
)
def test_rows_are_those_of_a_plain_loop(script, rule, modes):
  words, out = spoken(script[:ROWS], rule, modes)
  rule = {'stop_ids': [], 'max_tokens': STEPS} | rule
  for i, (row, mode) in enumerate(zip(words, modes, strict=True)):
    tokens, free, thinks, ended = by_hand(row, mode, **rule)
    n = len(tokens)
    assert out.tokens[i].tolist() == tokens + [PAD] * (STEPS - n)
    assert out.mask[i].tolist() == [True] * n + [False] * (STEPS - n)
    assert out.policy_mask[i].tolist() == free + [False] * (STEPS - n)
    assert out.thinking_mask[i].tolist() == thinks + [False] * (STEPS - n)
    assert out.terminated[i] == ended
  assert out.steps == out.lengths.max()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(script=scripts, rule=rules, modes=modes)
def test_budgets_are_hard_bounds(script, rule, modes):
  _, out = spoken(script, rule, modes)
  names = 'max_thinking_tokens', 'max_answer_tokens', 'budget'
  thinking, answer, budget = (rule.get(name, STEPS) for name in names)
  names = 'after_thinking', 'on_truncation', 'on_budget'
  ended, cut, late = (len(rule.get(name, ())) for name in names)
  assert (out.thinking_mask.sum(-1) <= min(thinking, budget)).all()
  assert ((out.mask & ~out.policy_mask).sum(-1) <= max(cut, ended + late)).all()
  assert (out.lengths <= rule['max_tokens']).all()
  assert (out.lengths <= budget + max(cut, late) + answer).all()
  if budget == STEPS:
    assert (out.lengths <= thinking + max(cut, ended) + answer).all()


def test_a_budget_forces_an_answer_once():
  """A thinking that is open is cut; an answer that has not ended is continued;
  what has ended stays as it is."""
  script = [[3] * 9, [0, 1, 3, 3, 3, 3], [0, 1, 6]]
  rule = {
    'stop_ids': [6],
    'budget': 4,
    'on_truncation': [4, 5],
    'on_budget': [2],
    'max_tokens': 8,
  }
  _, out = spoken(script, rule)
  assert [row[: sum(mask)].tolist()
          for row, mask in zip(out.tokens, out.mask, strict=True)] == [
    [3, 3, 3, 3, 4, 5, 3, 3], [0, 1, 3, 3, 2, 3, 3, 3], [0, 1, 6]
  ]  # fmt: skip
  assert (out.mask & ~out.policy_mask).sum(-1).tolist() == [2, 1, 0]
  assert out.terminated.tolist() == [False, False, True]


@pytest.mark.parametrize('modes', [THINK, ANSWER])
def test_an_answer_that_was_full_does_not_go_on_at_the_budget(modes):
  """While another row is still speaking."""
  script = [[0, 1], [0, 1], [3]]
  rule = {
    'max_answer_tokens': 3,
    'budget': 9,
    'on_budget': [4],
    'max_thinking_tokens': 12,
  }
  _, out = spoken(script, rule, [*modes[:2], Mode.CHAIN_OF_THOUGHT])
  full = 5 if modes is THINK else 3
  assert out.lengths.tolist() == [full, full, 12]


def test_a_budget_without_text_leaves_an_answer_its_length():
  rule = {'max_answer_tokens': 5, 'budget': 4, 'max_tokens': 9}
  _, out = spoken([[3] * 9] * 3, rule, ANSWER)
  assert out.lengths.tolist() == [5, 5, 5]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(script=scripts, rule=rules)
def test_budgets_that_are_not_reached_change_nothing(script, rule):
  """Nor does a text for a cut that never comes."""
  plain = {name: rule[name] for name in ('stop_ids', 'max_tokens')}
  _, expected = spoken(script, plain)
  assert (expected.policy_mask == expected.mask).all()
  wide = dict.fromkeys(
    ['max_thinking_tokens', 'max_answer_tokens', 'budget'], STEPS
  )
  wide |= {'after_thinking': [], 'on_truncation': [], 'on_budget': [5]}
  _, out = spoken(script, plain | wide)
  jax.tree.map(np.testing.assert_array_equal, out, expected)
  plain = {'max_tokens': rule['max_tokens']}
  _, expected = spoken(script, plain)
  cut = {'on_truncation': rule.get('on_truncation', [5])}
  _, out = spoken(script, plain | cut)
  jax.tree.map(np.testing.assert_array_equal, out, expected)


def test_the_end_of_the_thinking_may_be_token_ids():
  """Here 0, 1 spell the delimiter, as 2 does, which is another token."""
  rule = {'stop_ids': [], 'max_tokens': STEPS, 'pad_id': PAD}
  script = [[3, 0, 1, 3], [0, 3, 1, 0], [2, 3, 0, 1]]
  words = np.full((ROWS, STEPS), 3)
  words[:, :4] = script
  stop = stopping_rule(**rule, end_of_thinking=[0, 1])
  out = recited(words, discrete(), stop, vocab=len(SPELLED))
  assert out.thinking_mask.sum(-1).tolist() == [2, STEPS, 3]
  never = recited(words, discrete(), stopping_rule(**rule), vocab=len(SPELLED))
  assert never.thinking_mask.all()


def test_no_rule_recompiles():
  spoken([[3]] * ROWS, {'stop_ids': [6], 'max_tokens': 3})
  programs = program._cache_size()
  rule = {
    'max_thinking_tokens': 2,
    'after_thinking': [5],
    'on_truncation': [6, 6],
    'max_answer_tokens': 2,
  }
  spoken([[3]] * ROWS, rule | {'on_budget': [4], 'budget': 6}, ANSWER)
  assert program._cache_size() == programs


@pytest.mark.parametrize(
  ('settings', 'told'),
  [
    ({'stop_ids': [*range(9)]}, f'stop_ids=.*8.*write at most {STOP_IDS} ids'),
    ({'stop_ids': 1}, 'stop_ids=1: .* a list of integers'),
    ({'stop_ids': [1.5]}, r'stop_ids=\[1.5\]: .* a list of integers'),
    (
      {'end_of_thinking': '</think>'},
      "end_of_thinking='</think>': write a list of token ids",
    ),
    ({'stop_ids': [2, -1]}, r'stop_ids=\[2, -1\]: .* all >= 0'),
    (
      {'after_thinking': [1] * 33},
      f'after_thinking=.*: write at most {FORCED_IDS} ids',
    ),
    ({'on_truncation': [-1]}, r'on_truncation=\[-1\]'),
    ({'on_budget': [1] * 33}, f'on_budget=.*: write at most {FORCED_IDS} ids'),
    ({'max_tokens': 0}, 'max_tokens=0, .*at least 1'),
    ({'max_thinking_tokens': 0}, 'max_thinking_tokens=0, .*at least 1'),
    ({'budget': 0}, 'budget=0: .*at least 1'),
    ({'max_answer_tokens': 0}, 'max_answer_tokens=0, .*at least 1'),
  ],
)
def test_errors_say_what_is_accepted(unchecked, settings, told):
  given = {
    'stop_ids': [],
    'max_tokens': 5,
    'pad_id': 0,
    'end_of_thinking': TABLE,
  } | settings
  with pytest.raises(ValueError, match=told):
    stopping_rule(**given)
