"""Every field of every config: what it accepts, and a sentence that says what
it means. `*` stands for a name that a config chooses.

docs/config.md is made of this table, and so is `--help`. What the functions
take that a config names (`kwargs`, `init_kwargs`) stands in their own
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
  """Whether a dotted name is one of a pattern. What a feedback has inside is a
  feedback."""
  names = name.replace('.inner.', '.').split('.')
  parts = pattern.split('.')
  pairs = zip(names, parts, strict=False)
  return len(names) == len(parts) and all(p in ('*', n) for n, p in pairs)


def function_of(name: str) -> tuple[str, str] | None:
  """('objective.kwargs', 'clip') of 'objective.kwargs.clip_range': the keywords
  of which function a field is one of; None for any other field."""
  for part in ('.kwargs.', '.init_kwargs.'):
    before, found, keyword = name.partition(part)
    if found and '.' not in keyword:
      return before + part[:-1], keyword
  return None


def is_known(name: str) -> bool:
  """Whether a field or an empty part of this name has a meaning: an entry, or
  the keywords of a function."""
  names = name.split('.')
  if {'kwargs', 'init_kwargs'} & {*names}:
    return True
  if name == 'feedback.inner':
    return True
  parts = (pattern.split('.')[: len(names)] for pattern in FIELDS)
  return any(matches(name, '.'.join(part)) for part in parts)
