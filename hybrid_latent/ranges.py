"""Annotations of arguments that accept only some numbers or strings.

`eps: PositiveFloat` declares the accepted range beside the type. Values from a
config or a command line are checked against it; the functions do not check.
"""

from typing import Annotated, NamedTuple


class Range(NamedTuple):
  """The finite numbers >= ge, > gt, <= le and < lt; None: no such bound."""

  ge: float | None = None
  gt: float | None = None
  le: float | None = None
  lt: float | None = None
  infinite: bool = False  # whether -inf is accepted, too

  def __repr__(self) -> str:
    parts = (
      *(f'{self.ge} <= ', f'{self.gt} < '),
      'x',
      *(f' <= {self.le}', f' < {self.lt}'),
      ' or -inf' * self.infinite,
    )
    return ''.join(part for part in parts if 'None' not in part)


PositiveInt = Annotated[int, Range(ge=1)]
NonNegativeInt = Annotated[int, Range(ge=0)]
PositiveFloat = Annotated[float, Range(gt=0)]
NonNegativeFloat = Annotated[float, Range(ge=0)]
UnitFloat = Annotated[float, Range(ge=0, le=1)]  # a share, a probability
REGEX = 'regular expression'
Pattern = Annotated[str, REGEX]
Share = Annotated[float, Range(gt=0, le=1)]  # a share > 0
OpenUnitFloat = Annotated[float, Range(gt=0, lt=1)]
