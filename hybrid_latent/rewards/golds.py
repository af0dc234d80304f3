"""The gold answers of a row."""

from collections.abc import Sequence

Gold = str | float | Sequence[str | float] | None


def texts(gold: Gold) -> list[str]:
  """One answer or several, any of which is right, as texts; a number as Python
  writes it, none for None."""
  several = gold if isinstance(gold, list | tuple) else [gold]
  return [f'{one}' for one in several if one is not None]
