"""The gold answers of a row."""

from collections.abc import Sequence

Gold = str | float | Sequence[str | float] | None


def texts(gold: Gold) -> list[str]:
  """The right answers as texts; numbers in Python's spelling, [] for None."""
  answers = gold if isinstance(gold, list | tuple) else [gold]
  return [f'{answer}' for answer in answers if answer is not None]
