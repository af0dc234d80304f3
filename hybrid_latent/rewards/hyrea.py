r"""HyRea's latent and format rewards.

In the paper (Zhao et al., ICLR 2026) the reward is accuracy + format + a latent
reward "to guide the model in generating [Latent]", without formula or weights.
Ours rewards one well-formed span, or up to `max_spans`, in a completion with an
answer, so that further spans do not raise the reward; weights 0.8, 0.1 and 0.1.
Accuracy is `math.accuracy`, format is `math.format` with the pattern of EasyR1,
on which the paper's code is built.
"""

import re
from collections.abc import Sequence

from hybrid_latent.ranges import PositiveInt
from hybrid_latent.rewards.answers import BOX, final_answer

# EasyR1's r'<think>.*</think>.*\\boxed\{.*\}.*', which backtracks over all
# positions of three stars; the atomic groups match the same texts without that.
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
  """1/max_spans per span, up to `max_spans` of them; 0 without an answer, or
  where one of the three tokens is outside a span.

  Args:
    completions: decoded texts, with the three tokens.
    start: begins a span,
    slot: follows at least once, with only spaces in between,
    end: ends it.
    max_spans: number of spans that are rewarded.
    marker: the marker before the answer, see `final_answer`.
  """
  if max_spans < 1:
    raise ValueError(f'max_spans={max_spans}: accepted is at least 1')
  tokens = (start, slot, end)
  begin, inner, last = map(re.escape, tokens)
  span = re.compile(rf'{begin}(?:\s*{inner})+\s*{last}')
  rewards: list[float | None] = []
  for text in completions:
    # n spans split a text into n + 1 parts.
    outside = span.split(text)
    stray = any(token in part for part in outside for token in tokens)
    rewarded = final_answer(text, marker) and not stray
    rewards.append(
      min(len(outside) - 1, max_spans) / max_spans if rewarded else 0.0
    )
  return rewards
