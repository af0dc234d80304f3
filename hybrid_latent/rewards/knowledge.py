"""HRPO's reward for questions of knowledge: one of several gold answers.

The paper (Yue et al., arXiv 2505.18454) counts exact matches as its benchmarks
do, after SQuAD's normalisation (Rajpurkar et al., arXiv 1606.05250): small
letters, no punctuation, no articles, single spaces.
"""

import re
import string
import unicodedata
from collections.abc import Sequence

from hybrid_latent.rewards.answers import DELIMITER, final_answer, matches
from hybrid_latent.rewards.golds import Gold

_PUNCTUATION = frozenset(string.punctuation)


def knowledge(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  **_,
) -> list[float | None]:
  """1 where what follows the only `####` is one of the gold answers, else 0;
  None where nothing is left of these. An `answer` is a text or several."""
  found = [
    final_answer(text, DELIMITER) if text.count(DELIMITER) == 1 else ''
    for text in completions
  ]
  return matches(found, answer, normalised)


def normalised(text: str) -> str:
  """'The  U.S.A.!' is 'usa'."""
  text = unicodedata.normalize('NFKC', text).lower()
  bare = ''.join(c for c in text if c not in _PUNCTUATION and not _is_mark(c))
  return ' '.join(re.sub(r'\b(a|an|the)\b', ' ', bare).split())


def _is_mark(character: str) -> bool:
  return unicodedata.category(character)[0] == 'P'
