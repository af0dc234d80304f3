r"""HyRea's latent and format rewards.

The paper (Zhao et al., ICLR 2026) says: the reward is accuracy + format + a
latent reward "to guide the model in generating [Latent]"; it gives no formula
and no weights. Ours: a completion is paid for one well-formed span, or for up
to `max_spans`, if it gives an answer; weights 0.8, 0.1 and 0.1. So it does not
pay to fill the completion with spans. Accuracy is `math.accuracy`, format is
`math.format` with the pattern of EasyR1, on which the paper's code is built.
"""

import re
from collections.abc import Sequence

from hybrid_latent.ranges import PositiveInt
from hybrid_latent.rewards.answers import BOX, final_answer

# EasyR1's r'<think>.*</think>.*\\boxed\{.*\}.*', which tries every way to place
# three stars: the first place of each is as good as any other.
FORMAT = r'<think>(?>.*?</think>)(?>.*?\\boxed\{)(?>.*?\}).*'


def latent(
  completions: Sequence[str],
  *,
  start: str = '<start-latent>',
  slot: str = '<latent>',
  end: str = '<end-latent>',
  max_spans: PositiveInt = 1,
  marker: str = BOX,
  **_,
) -> list[float | None]:
  """1/max_spans for each span up to the `max_spans`-th, where an answer is
  given; 0 where none is, or where one of the three tokens stands outside a
  span.

  Args:
    completions: texts with the three tokens as they are decoded.
    start: begins a span,
    slot: follows at least once, with nothing but spaces in between,
    end: ends it.
    max_spans: spans that are paid for.
    marker: what the answer stands behind, see `final_answer`.
  """
  if max_spans < 1:
    raise ValueError(
      f'max_spans={max_spans}: at least 1 span has to be paid for'
    )
  tokens = (start, slot, end)
  begin, inner, last = map(re.escape, tokens)
  span = re.compile(rf'{begin}(?:\s*{inner})+\s*{last}')
  rewards: list[float | None] = []
  for text in completions:
    outside = span.split(text)
    stray = any(token in part for part in outside for token in tokens)
    paid = final_answer(text, marker) and not stray
    rewards.append(
      min(len(outside) - 1, max_spans) / max_spans if paid else 0.0
    )
  return rewards
