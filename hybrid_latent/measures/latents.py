"""Similarity of a reasoner's latents between data sets (LRT, ICLR 2026)."""

from collections.abc import Sequence

import numpy as np


def cosine_between(a: Sequence[float], b: Sequence[float]) -> float:
  """The mean cosine similarity over all pairs of a problem of one data set and
  one of the other, from the `latent_direction` of both: the mean over problems
  of the mean latent, scaled to length 1."""
  return float(np.dot(a, b))
