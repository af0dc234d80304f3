"""Rows that nobody stores: each is drawn from its own number."""

import random
from collections.abc import Callable
from typing import Any, SupportsIndex

TRIES = 1000


class Drawn:
  """`count` rows by number, functions of (key, number)."""

  def __init__(
    self,
    key: str,
    count: int,
    row: Callable[[random.Random], dict[str, Any] | None],
    advice: str,
  ):
    """`row` may find that what it drew will not do (None) and is asked again;
    `advice` is for whoever asks for what can hardly be drawn."""
    self._key, self._count = key, count
    self._row, self._advice = row, advice

  def __len__(self) -> int:
    return self._count

  def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
    number = range(self._count)[index]  # an IndexError where it should be one
    rng = random.Random(f'{self._key}/{number}')
    for _ in range(TRIES):
      if row := self._row(rng):
        return row
    raise ValueError(self._advice)
