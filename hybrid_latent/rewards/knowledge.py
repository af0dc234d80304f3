"""HRPO's reward for knowledge questions: exact match with a gold answer.

The paper (Yue et al., arXiv 2505.18454) counts exact matches like its
benchmarks, after SQuAD's normalisation (Rajpurkar et al., arXiv 1606.05250):
lower case, no punctuation, no articles, single spaces.
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
  """1 where the text after the only `####` is a gold answer, else 0; None where
  the normalised gold answers are all empty. An `answer` is a text or several.
  """
  predictions = [parse(text) or '' for text in completions]
  return matches(predictions, answer, normalised)


def parse(text: str) -> str | None:
  """The normalised answer that `knowledge` reads; None without one, and
  without exactly one `####`."""
  one = text.count(DELIMITER) == 1
  return normalised(final_answer(text, DELIMITER)) or None if one else None


def normalised(text: str) -> str:
  """'The  U.S.A.!' is 'usa'."""
  # NFKC: full-width letters and digits equal those of ASCII.
  text = unicodedata.normalize('NFKC', text).lower()
  bare = ''.join(c for c in text if c not in _PUNCTUATION and not _is_mark(c))
  return ' '.join(re.sub(r'\b(a|an|the)\b', ' ', bare).split())


def _is_mark(character: str) -> bool:
  return unicodedata.category(character)[0] == 'P'
