"""Annotations of arguments that accept only some numbers, or some texts.

`eps: PositiveFloat` says of an argument what its type alone does not. Whoever
reads a value from a config or a command line checks it against them; the
functions themselves do not.
"""

from typing import Annotated, NamedTuple


class Range(NamedTuple):
  """The finite numbers >= ge, > gt, <= le and < lt; None: no such end."""

  ge: float | None = None
  gt: float | None = None
  le: float | None = None
  lt: float | None = None
  infinite: bool = False  # whether -inf is accepted, too


PositiveInt = Annotated[int, Range(ge=1)]
NonNegativeInt = Annotated[int, Range(ge=0)]
PositiveFloat = Annotated[float, Range(gt=0)]
NonNegativeFloat = Annotated[float, Range(ge=0)]
UnitFloat = Annotated[float, Range(ge=0, le=1)]  # a share, a probability
REGEX = 'regular expression'
Pattern = Annotated[str, REGEX]
Share = Annotated[float, Range(gt=0, le=1)]  # of something, and not nothing
OpenUnitFloat = Annotated[float, Range(gt=0, lt=1)]
