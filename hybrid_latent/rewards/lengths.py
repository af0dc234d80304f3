r"""Rewards that make completions shorter: ShorterBetter, LC-R1, DAPO.

The first two compare a completion with the others of its prompt. A length is
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
  2504.21370). None where the gold answer cannot be read.

  The release compares the last \boxed{} as MATH's graders do: `kind='latex'`.
  The penalty has no bound; 2000 tokens weigh as much as a right answer.

  Args:
    completions: texts of one prompt.
    answer: gold answers.
    completion_ids: tokens of each completion.
    kind: the judge, see `answers.correct`.
    alpha: reward of the shortest right completion, the largest of all.
    beta: penalty of a token.
  """
  right = correct(completions, answer=answer, kind=kind)
  lengths = [len(ids) for ids in completion_ids]
  pairs = list(zip(lengths, right, strict=True))
  judged = [n for n, r in pairs if r is not None] or [0]
  best = min((n for n, r in pairs if r), default=fmean(judged))
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
  for all if none is right. None where the gold answer cannot be read.

  LC-R1 (Cheng et al., arXiv 2506.14755) adds it to accuracy and format, and a
  completion is right if it has both: `end` exactly once, and the answer. The
  length is that of the compressed completion: the thinking of a right one is
  cut after the first sentence that reveals the answer. In the paper a trained
  model finds that sentence; here it is the first to spell the gold answer,
  which may only repeat a number of the question. The share of characters that
  is kept stands for the share of tokens.

  Not here: the extractor model, the loss on the compressed text (ours is on
  the whole one), and the bonus at `</think>` for what was cut.

  Args:
    completions: texts of one prompt.
    answer: gold answers.
    completion_ids: tokens of each completion.
    kind: the judge, see `answers.correct`.
    end: ends the thinking.
  """
  right = correct(completions, answer=answer, kind=kind)
  lengths: list[float] = [len(ids) for ids in completion_ids]
  members = list(zip(completions, answer, right, strict=True))
  passed = []
  for i, (text, gold, r) in enumerate(members):
    if r and text.count(end) == 1:
      lengths[i] *= _kept(text, gold, end) / len(text)
      passed.append(lengths[i])
  longest = max(passed, default=None)
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
  """0 up to limit − buffer tokens, then down to −1 at `limit`: equation 13 of
  DAPO (Yu et al., arXiv 2503.14476)."""
  if not 0 < buffer <= limit:
    raise ValueError(
      f'buffer={buffer}, limit={limit}: the buffer is the last tokens before '
      'the limit, at least 1 and at most all'
    )
  del completions
  over = [len(ids) - (limit - buffer) for ids in completion_ids]
  return [-min(max(n, 0), buffer) / buffer for n in over]


def _kept(text: str, gold: Gold, end: str) -> int:
  """Characters of a completion that remain when its thinking stops after the
  sentence that first spells the gold answer; all of them if none does."""
  thinking = text.partition(end)[0]
  spellings = [x for one in texts(gold) for x in _spellings(one)]
  choice = '|'.join(map(re.escape, spellings))
  # Not within a word or a longer number: 14 is not in 3,140 or 14.5.
  number = rf'(?<!\w)(?<!\d[.,])(?:{choice})(?!\w|[.,]\d)'
  revealed = re.search(number, thinking)
  stop = revealed and _SENTENCE_END.search(thinking, revealed.end())
  return len(text) - (len(thinking) - stop.end() if stop else 0)


def _spellings(gold: str) -> list[str]:
  r"""A gold answer without \boxed{} and dollars, as it stands, in MATH's
  spelling, and a whole number with and without the commas of thousands."""
  bare = (boxed(gold) or gold).strip().strip('$').strip()
  whole = bare.replace(',', '')
  numbers = [whole, f'{int(whole):,}'] if whole.isdecimal() else []
  return [one for one in (bare, spelled(bare), *numbers) if one]
