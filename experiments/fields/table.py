"""Every field of every config: what it accepts, and a sentence that says what
it means. `*` stands for a name that a config chooses.

docs/config.md is made of this table, and so is `--help`. What the functions
take that a config names (`kwargs`, `initial`, `data.of`) stands in their own
signatures; see functions.py.
"""

from experiments.fields.accepted import Field
from experiments.fields.generation import GENERATION
from experiments.fields.training import TRAINING

FIELDS = TRAINING | GENERATION


def field_of(name: str) -> Field | None:
  """The entry of a field by its dotted name; None where there is none. What a
  feedback has inside is a feedback."""
  name = name.replace('.inside.', '.')
  if name in FIELDS:
    return FIELDS[name]
  parts = name.split('.')
  parts[-2:-1] = ['*']
  return FIELDS.get('.'.join(parts))


def function_of(name: str) -> tuple[str, str] | None:
  """('objective.kwargs', 'clip') of 'objective.kwargs.clip': the keywords of
  which function a field is one of; None for any other field."""
  for part in ('.kwargs.', '.initial.', 'data.of.'):
    before, found, keyword = name.partition(part)
    if found and '.' not in keyword:
      return before + part[:-1], keyword
  return None
