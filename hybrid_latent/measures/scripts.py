"""Language mixing: tokens in another script than the question's.

HRPO (arXiv 2505.18454) observes that hybrid thinking mixes languages, and gives
examples; this is our measure of it.
"""

import functools
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def other_script_share(rows: Iterable[Mapping[str, Any]]) -> float:
  """Of the tokens with letters, the share that has one of a script that the
  question has not; NaN without such tokens. Marks, and positions where the
  model reads a latent alone, do not count."""
  found = []
  for row in rows:
    question, marks = scripts_of(row['question']), {*row['marks']}
    for i, (token, share) in enumerate(
      zip(row['tokens'], row['latent_share'], strict=True)
    ):
      scripts = scripts_of(token)
      if scripts and share != 1 and i not in marks:
        found.append(not scripts <= question)
  return float(np.mean(found)) if found else np.nan


@functools.lru_cache(2**18)  # tokens repeat
def scripts_of(text: str) -> frozenset[str]:
  """The scripts of the letters of a text, such as LATIN, CYRILLIC, CJK: the
  first word of the Unicode names of their compatible letters, so that 𝑥 and ｘ
  are Latin. Greek is left out: it is the script of mathematics."""
  letters = filter(str.isalpha, unicodedata.normalize('NFKC', text))
  names = {unicodedata.name(char, '').split(' ')[0] for char in letters}
  return frozenset(names - {'', 'GREEK'})
