"""Every field of every config: its accepted values and its meaning. `*` stands
for a name that a config chooses.

docs/config.md and `--help` are generated from this table. The keywords of the
functions that a config names (`kwargs`, `init_kwargs`) are checked by their
signatures; see functions.py.
"""

from .accepted import Field
from .generation import GENERATION
from .training import TRAINING

FIELDS = TRAINING | GENERATION


def field_of(name: str) -> Field | None:
  """The entry of a field by its dotted name; None where there is none."""
  return next((FIELDS[p] for p in FIELDS if matches(name, p)), None)


def matches(name: str, pattern: str) -> bool:
  """Whether a dotted name matches a pattern. Fields of an inner feedback match
  those of a feedback."""
  names = name.replace('.inner.', '.').split('.')
  parts = pattern.split('.')
  pairs = zip(names, parts, strict=False)
  return len(names) == len(parts) and all(p in ('*', n) for n, p in pairs)


def function_of(name: str) -> tuple[str, str] | None:
  """The part and the keyword of a field that is a keyword of a function:
  ('objective.kwargs', 'clip_range') of 'objective.kwargs.clip_range'; else
  None."""
  for part in ('.kwargs.', '.init_kwargs.'):
    before, found, keyword = name.partition(part)
    if found and '.' not in keyword:
      return before + part[:-1], keyword
  return None


def is_known(name: str) -> bool:
  """Whether a field or an empty part of this name has an entry, or is a keyword
  of a function."""
  names = name.split('.')
  if {'kwargs', 'init_kwargs'} & {*names}:
    return True
  if name in ('feedback.inner', 'objective.inner'):
    return True
  parts = (pattern.split('.')[: len(names)] for pattern in FIELDS)
  return any(matches(name, '.'.join(part)) for part in parts)
