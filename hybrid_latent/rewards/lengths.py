r"""Length rewards: ShorterBetter, LC-R1, DAPO.

The first two compare the completions of a prompt. The length of a completion is
the number of its `completion_ids`.
"""

import re
from collections.abc import Sequence
from statistics import fmean

from hybrid_latent.ranges import PositiveInt
from hybrid_latent.rewards.answers import Judge, correct
from hybrid_latent.rewards.golds import Gold, texts
from hybrid_latent.rewards.latex import boxed, spelled

_SENTENCE_END = re.compile(r'[.!?](?=\s|$)|\n')


def shorter_better(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  completion_ids: Sequence[Sequence[int]],
  kind: Judge = 'math',
  alpha: float = 2.0,
  beta: float = 0.001,
  **_,
) -> list[float | None]:
  r"""α·[right] − β·|length − best|, where best is the length of the shortest
  right completion, or the mean length if none is right (Yi et al., arXiv
  2504.21370). None where the gold answer cannot be parsed.

  The release compares the last \boxed{} like MATH's graders: `kind='latex'`.
  The penalty is unbounded; 2000 tokens cost as much as a right answer earns.

  Args:
    completions: texts of one prompt.
    answer: gold answers.
    completion_ids: tokens of each completion.
    kind: the judge, see `answers.correct`.
    alpha: reward of the shortest right completion, the maximum.
    beta: penalty per token.
  """
  right = correct(completions, answer=answer, kind=kind)
  lengths = [len(ids) for ids in completion_ids]
  # Ungraded completions have no part in the best length.
  pairs = list(zip(lengths, right, strict=True))
  graded = [n for n, r in pairs if r is not None] or [0]
  best = min((n for n, r in pairs if r), default=fmean(graded))
  return [
    None if r is None else alpha * r - beta * abs(n - best) for n, r in pairs
  ]


def lc_r1(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  completion_ids: Sequence[Sequence[int]],
  kind: Judge = 'math',
  end: str = '</think>',
  **_,
) -> list[float | None]:
  """1 − length / (longest right length + 1e-4), for wrong completions too; 0
  for all if none is right. None where the gold answer cannot be parsed.

  LC-R1 (Cheng et al., arXiv 2506.14755) adds it to accuracy and format, and a
  completion is right if it has `end` exactly once, and the right answer. The
  length is that of the compressed completion: the thinking of a right one is
  truncated after the first sentence with the answer. In the paper a trained
  model finds that sentence; here it is the first one with a spelling of the
  gold answer, which may only repeat a number of the question. The remaining
  share of characters approximates the share of tokens.

  Not implemented: the extractor model, the loss on the compressed text (ours is
  on the whole text), and the bonus at `</think>` for the removed tokens.

  Args:
    completions: texts of one prompt.
    answer: gold answers.
    completion_ids: tokens of each completion.
    kind: the judge, see `answers.correct`.
    end: text that ends the thinking.
  """
  right = correct(completions, answer=answer, kind=kind)
  lengths: list[float] = [len(ids) for ids in completion_ids]
  members = list(zip(completions, answer, right, strict=True))
  right_lengths = []
  for i, (text, gold, r) in enumerate(members):
    # Wrong completions keep their length, but do not set the longest.
    if r and text.count(end) == 1:
      lengths[i] *= _compressed_chars(text, gold, end) / len(text)
      right_lengths.append(lengths[i])
  longest = max(right_lengths, default=None)
  return [
    None if r is None else 1 - n / (longest + 1e-4) if longest else 0.0
    for n, r in zip(lengths, right, strict=True)
  ]


def soft_overlong(
  completions: Sequence[str],
  *,
  completion_ids: Sequence[Sequence[int]],
  limit: PositiveInt,
  buffer: PositiveInt,
  **_,
) -> list[float | None]:
  """0 up to limit − buffer tokens, then linear down to −1 at `limit`: equation
  13 of DAPO (Yu et al., arXiv 2503.14476)."""
  if not 0 < buffer <= limit:
    raise ValueError(
      f'buffer={buffer}, limit={limit}: accepted is a buffer from 1 to limit'
    )
  del completions
  over = [len(ids) - (limit - buffer) for ids in completion_ids]
  return [-min(max(n, 0), buffer) / buffer for n in over]


def _compressed_chars(text: str, gold: Gold, end: str) -> int:
  """The number of characters of a completion whose thinking is truncated after
  the first sentence with the gold answer; all without such a sentence."""
  thinking = text.partition(end)[0]
  spellings = [x for one in texts(gold) for x in _spellings(one)]
  choice = '|'.join(map(re.escape, spellings))
  # Not within a word or a longer number: 14 is not in 3,140 or 14.5.
  number = rf'(?<!\w)(?<!\d[.,])(?:{choice})(?!\w|[.,]\d)'
  match = re.search(number, thinking)
  stop = match and _SENTENCE_END.search(thinking, match.end())
  return len(text) - (len(thinking) - stop.end() if stop else 0)


def _spellings(gold: str) -> list[str]:
  r"""A gold answer without \boxed{} and dollars: unchanged, in MATH's
  normalisation, and a whole number with and without the commas of thousands."""
  bare = (boxed(gold) or gold).strip().strip('$').strip()
  whole = bare.replace(',', '')
  numbers = [whole, f'{int(whole):,}'] if whole.isdecimal() else []
  return [one for one in (bare, spelled(bare), *numbers) if one]
