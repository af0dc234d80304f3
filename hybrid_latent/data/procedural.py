"""Rows that nobody stores: each is drawn from its own number."""

import random
from collections.abc import Callable
from functools import cached_property
from typing import Any, SupportsIndex

from hybrid_latent.data.digest import digest

TRIES = 1000


class ProceduralRows:
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

  @cached_property
  def digest(self) -> str:
    """Of the first rows and how many there are: the others are drawn in the
    same way."""
    first = map(self.__getitem__, range(min(self._count, 16)))
    return digest([{'key': self._key, 'count': self._count}, *first])

  def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
    number = range(self._count)[index]  # an IndexError where it should be one
    rng = random.Random(f'{self._key}/{number}')
    for _ in range(TRIES):
      if row := self._row(rng):
        return row
    raise ValueError(self._advice)
