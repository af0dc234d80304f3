"""A digest of the data, which a resumed run compares with that of its start.

It depends on the rows and their order alone, not on the path, name or date of
a file.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any


def digest(rows: Sequence[dict]) -> str:
  """SHA-256 of all rows in their order, hexadecimal.

  `rows.digest` where there is one (rows of a file or of a generator of this
  package); other rows are read once.
  """
  known = getattr(rows, 'digest', None)
  if isinstance(known, str):
    return known
  state = hashlib.sha256()
  for number in range(len(rows)):
    # sort_keys: the order of columns is not part of the data.
    text = json.dumps(rows[number], sort_keys=True, default=_plain)
    state.update(text.encode() + b'\n')
  return state.hexdigest()


def _plain(value: Any) -> Any:
  """Arrays as lists; of other objects the type, because their text may contain
  a memory address."""
  return value.tolist() if hasattr(value, 'tolist') else type(value).__name__
