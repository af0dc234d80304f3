"""Entropy of the model's distribution, in nats, along the completion.

Soft Tokens (arXiv 2509.19170) plots the mean next-token entropy at each index
of the chain of thought. A token's entropy is that of the distribution that it
is sampled from, before it, at temperature 1.
"""

from bisect import bisect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hybrid_latent.measures.spans import spans_of

Row = Mapping[str, Any]


def entropy_by_position(
  rows: Iterable[Row],
) -> tuple[Float[np.ndarray, 't'], Int[np.ndarray, 't']]:
  """The mean entropy at each index of the thinking, NaN where unknown, and the
  number of completions that it is over: those that reach the index."""
  thoughts = [
    np.array(row['entropy'][: row['thinking_tokens']], float) for row in rows
  ]
  length = max(map(len, thoughts), default=0)
  table = np.full((len(thoughts), length), np.nan)
  for line, thought in zip(table, thoughts, strict=True):
    line[: len(thought)] = thought
  known = ~np.isnan(table)
  count = known.sum(0)
  with np.errstate(invalid='ignore'):
    return np.where(known, table, 0).sum(0) / count, count


def entropy_around_spans(
  rows: Iterable[Row], width: int = 8
) -> dict[str, float]:
  """The mean entropy of tokens by where they are: at most `width` words
  `before` a span of latents, `inside` one, at most `width` words `after` one
  (and not before the next), or `elsewhere`; NaN for none. Marks do not
  count."""
  found: dict[str, list] = {
    name: [] for name in ('before', 'inside', 'after', 'elsewhere')
  }
  for row in rows:
    spans, marks = spans_of(row), {*row['marks']}
    words = [i for i, x in enumerate(row['latent']) if not x and i not in marks]
    where = dict.fromkeys(words, 'elsewhere')
    for _, end in spans:
      first = bisect(words, end - 1)
      where |= dict.fromkeys(words[first : first + width], 'after')
    for start, end in spans:
      last = bisect(words, start)
      where |= dict.fromkeys(words[max(last - width, 0) : last], 'before')
      where |= dict.fromkeys(range(start, end), 'inside')
    for i, name in where.items():
      if row['entropy'][i] is not None:
        found[name].append(row['entropy'][i])
  return {
    name: float(np.mean(values)) if values else np.nan
    for name, values in found.items()
  }
