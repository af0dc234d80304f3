"""Tokens of completions: HyRea's columns, hidden ratio, truncation.

HyRea (ICLR 2026) reports accuracy / #tokens / #switches: words and latents, not
the marks around a span; the spans of latents. HRPO (arXiv 2505.18454) reports
the hidden ratio: the mean latent share of the inputs of the thinking.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def token_counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
  """Means over completions, `rows` being at least one; `truncated` and `forced`
  are the shares of completions that a limit has cut and that have forced
  tokens; `hidden_ratio` is over tokens."""
  mean = lambda f: float(np.mean([f(row) for row in rows]))
  return {
    'tokens': mean(lambda row: row['num_tokens_without_marks']),
    'tokens_with_marks': mean(lambda row: row['num_tokens']),
    'switches': mean(lambda row: row['switches']),
    'latent_tokens': mean(lambda row: sum(row['latent'])),
    'thinking_tokens': mean(lambda row: row['thinking_tokens']),
    'hidden_ratio': hidden_ratio(rows),
    'truncated': mean(lambda row: row['truncated']),
    'forced': mean(lambda row: row['forced_tokens'] > 0),
  }


def hidden_ratio(rows: Sequence[Mapping[str, Any]]) -> float:
  """The mean latent share of all inputs of the thinking, NaN without any. The
  last token of a completion is no input."""
  values = np.array(
    [
      share
      for row in rows
      for share in row['latent_share'][:-1][: row['thinking_tokens']]
    ],
    float,
  )
  values = values[~np.isnan(values)]
  return float(values.mean()) if values.size else np.nan
