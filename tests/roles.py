"""What stands at each position of a tiny trajectory, feedback by feedback."""

import numpy as np

from hybrid_latent.types import Mode
from tests.tiny import END, FEEDBACKS, GROUP, SLOT, START

SPANS = FEEDBACKS['switching'], FEEDBACKS['switching-soft']
DENSITIES = tuple(FEEDBACKS[x] for x in ('colar', 'soft', 'switching-soft'))
# Scored by several tokens, whose probabilities depend on the temperature.
JOINT = FEEDBACKS['gumbel-soft'], FEEDBACKS['multiplex']
# What they read after a token is that token.
PLAIN = tuple(
  FEEDBACKS[name] for name in ('discrete', 'jacobi', 'prefix', 'prefix-of-all')
)


def words(feedback, out):
  """Where the score is that of a token, not the density of a latent."""
  scored = feedback in (*DENSITIES, *JOINT)
  return out.mask & ~out.record['fed'] if scored else out.mask


def latent_inputs(feedback, out):
  """Where the next input is no plain token."""
  if feedback in PLAIN:
    return np.zeros_like(out.mask)
  if feedback in SPANS:
    return spans(out)[0]
  if feedback is FEEDBACKS['soft']:  # the last of the thinking, too
    return inside(out)
  if feedback is FEEDBACKS['swireasoning']:  # its own test says where
    return out.mask & out.record['fed']
  return out.thinking_mask


def forced(feedback, out):
  """Where the feedback left the model no choice."""
  if feedback in SPANS:
    slots, ends = spans(out)
    return slots | ends
  if feedback is FEEDBACKS['soft-thinking']:
    return inside(out)
  return np.zeros_like(out.mask)


def inside(out, thinks=True):
  """The tokens of the thinking, its last included, in rows that think."""
  return out.mask & _before(out.thinking_mask, start=thinks)


def thinks(feedback, out):
  """The rows that think in words, of prompts numbered from 0 on."""
  numbers = np.arange(len(out.mask)) // GROUP
  return (numbers % len(Mode) == Mode.CHAIN_OF_THOUGHT) | (
    feedback.prefix is None
  )


def spans(out):
  """The slots, one or two after a start token, and the end tokens that stand
  where they do because two slots came before."""
  one = out.mask & _before(out.tokens == START)
  two = _before(one) & (out.tokens == SLOT)
  ends = out.mask & _before(two)
  assert (out.tokens[one] == SLOT).all()
  assert (out.tokens[ends] == END).all()
  return one | two, ends


def _before(x, start=False):
  """What held at the position before."""
  return np.insert(x, 0, start, axis=1)[:, :-1]
