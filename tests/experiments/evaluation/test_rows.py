"""Rows of the record, against the model and by hand."""

import numpy as np
import pytest

from experiments.evaluation.rows import correctness, forced_tokens
from hybrid_latent.types import StoppingRule, Trajectory


def test_an_accuracy_is_between_0_and_1():
  total, nan = np.array([1 + 1e-7, 0, np.nan]), np.full(3, np.nan)
  assert correctness({}, total, 'd') is total
  assert correctness({'accuracy': nan}, -total, 'd') is nan
  for grades, message in (
    ({}, "config.rewards gives -1 on 'd': accepted as the accuracy is 0 to 1"),
    ({'accuracy': 2 * total}, "the reward accuracy gives 2 on 'd'"),
  ):
    with pytest.raises(ValueError, match=message):
      correctness(grades, -total, 'd')


def test_what_follows_a_thinking_that_ended_is_not_forced():
  """Rows of 8 tokens: x drawn, f forced, m and d written by a feedback, after t
  tokens of thinking."""
  closing = np.array([[7, 7, -1], [7, 8, 9], [9, -1, -1]])
  stop = StoppingRule(*[None] * len(StoppingRule._fields))._replace(
    forced_tokens=closing, max_thinking_tokens=9, budget=9
  )
  every = Trajectory(*[None] * len(Trajectory._fields))

  def told(thinking, text, thinks, **limits):
    t = np.arange(8)
    out = every._replace(
      mask=np.array([[x != ' ' for x in text]]),
      policy_mask=np.array([[x == 'x' for x in text]]),
      thinking_mask=(t < thinking)[None],
      latent_share=np.array([[x == 'l' for x in text]]),
      tokens=np.array([[dict(m=8, f=7).get(x, 1) for x in text]]),
    )
    rule = stop._replace(**limits)
    return forced_tokens(out, rule, thinks, marks=(8,))[1].tolist()

  assert told(2, 'xxxffxx ', True) == [False]  # the delimiter, then its text
  assert told(2, 'xxfffxx ', True) == [True]  # cut
  assert told(2, 'xxxffxfx', True) == [True]  # late
  assert told(4, 'xfxxxff ', True) == [False]  # a feedback's own, in a thinking
  assert told(2, 'xxdxx   ', True) == [False]  # its own end of the thinking
  assert told(2, 'xxdffxfx', True) == [True]
  assert told(8, 'xxxxxxxx', True) == [False]
  # No text is forced.
  assert told(3, 'xxxxxx  ', True, max_thinking_tokens=3) == [True]
  assert told(3, 'xxxxxx  ', True, budget=3) == [True]
  assert told(2, 'xxxxxx  ', True, max_thinking_tokens=3) == [False]
  assert told(3, 'xxx     ', True, max_thinking_tokens=3) == [False]
  assert told(0, 'ffxxxx  ', False) == [False]
  assert told(0, 'ffxxfx  ', False) == [True]
  assert told(0, 'ffxxlmx ', False) == [False]  # a span in the answer
