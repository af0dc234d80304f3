"""A digest of the data, so that a resumed run can tell whether it is the same.

It depends on the rows and their order alone: not on where the file lies, what
it is called or when it was written.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any


def digest(rows: Sequence[dict]) -> str:
  """SHA-256 of all rows in their order, hexadecimal.

  Rows that know their digest (`rows.digest`: those of a file or of a generator
  of this package) are not read for it; any others are read once.
  """
  known = getattr(rows, 'digest', None)
  if isinstance(known, str):
    return known
  state = hashlib.sha256()
  for number in range(len(rows)):
    text = json.dumps(rows[number], sort_keys=True, default=_plain)
    state.update(text.encode() + b'\n')
  return state.hexdigest()


def _plain(value: Any) -> Any:
  """Arrays as lists; the type of anything else, as its text may name an address
  in memory."""
  return value.tolist() if hasattr(value, 'tolist') else type(value).__name__
