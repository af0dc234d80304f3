"""Whether Python values are token ids."""

from typing import Any

import numpy as np


def are_token_ids(values: Any) -> bool:
  """True for a sequence of integers >= 0, empty included."""
  try:
    ids = np.asarray(values)
  except ValueError:  # of lists of different lengths
    return False
  if ids.ndim != 1:
    return False
  integers = np.issubdtype(ids.dtype, np.integer)
  return not ids.size or bool(integers and ids.min() >= 0)
