"""Rows of the record, against the model and by hand."""

import numpy as np

from experiments.evaluation.rows import forced_tokens
from hybrid_latent.types import StoppingRule, Trajectory


def test_what_follows_a_thinking_that_ended_is_not_forced():
  """Rows of 8 tokens: x drawn, f forced, after t tokens of thinking."""
  closing = np.array([[7, 7, -1], [7, 8, 9], [9, -1, -1]])
  stop = StoppingRule(*[None] * len(StoppingRule._fields))._replace(
    forced_tokens=closing
  )
  every = Trajectory(*[None] * len(Trajectory._fields))

  def told(thinking, text, thinks):
    t = np.arange(8)
    out = every._replace(
      mask=np.array([[x != ' ' for x in text]]),
      policy_mask=np.array([[x == 'x' for x in text]]),
      thinking_mask=(t < thinking)[None],
      latent_share=np.array([[x == 'l' for x in text]]),
      tokens=np.array([[8 if x == 'm' else 1 for x in text]]),
    )
    return forced_tokens(out, stop, thinks, marks=(8,))[1].tolist()

  assert told(2, 'xxxffxx ', True) == [False]  # the delimiter, then its text
  assert told(2, 'xxfffxx ', True) == [True]  # cut
  assert told(2, 'xxxffxfx', True) == [True]  # late
  assert told(4, 'xfxxxff ', True) == [False]  # a feedback's own, in a thinking
  assert told(8, 'xxxxxxxx', True) == [False]
  assert told(0, 'ffxxxx  ', False) == [False]
  assert told(0, 'ffxxfx  ', False) == [True]
  assert told(0, 'ffxxlmx ', False) == [False]  # a span in the answer
