"""The signature of a reward, which is TRL's."""

from collections.abc import Sequence
from typing import Any, Protocol

from hybrid_latent.rewards.golds import Gold


class Reward(Protocol):
  """A function of the completions of one prompt."""

  def __call__(
    self,
    completions: Sequence[str],
    /,
    *,
    answer: Sequence[Gold],
    completion_ids: Sequence[Sequence[int]],
    **columns: Any,
  ) -> Sequence[float | None]:
    """One number per completion, None for one that cannot be graded.

    `completion_ids` are the tokens of each completion; `answer` and the other
    columns of the data have the prompt's value, repeated per completion.
    """
    ...
