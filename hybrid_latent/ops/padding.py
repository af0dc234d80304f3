"""Padding of prompts and of completions."""

from collections.abc import Iterable, Sequence
from reprlib import repr as short
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from hybrid_latent.types import Prompt, Trajectory


def left_padded(
  prompts: Sequence[Sequence[int]],
  *,
  length: int | None = None,
  pad_id: int = 0,
  ids: Sequence[int] | None = None,
) -> Prompt:
  """A batch of prompts, each a sequence of token ids.

  Args:
    prompts: each of at least one token. Ids beyond the model's vocabulary are
      not refused; JAX reads its last row for them.
    length: p, by default that of the longest.
    pad_id: fills the masked positions left of shorter prompts.
    ids: the number of each prompt, which seeds its samples; by default its
      index.
  """
  rows = [*prompts] if isinstance(prompts, Iterable) else []
  if not rows or not all(map(are_token_ids, rows)):
    raise ValueError(
      f'prompts: {short(prompts)}: write a list of lists of token ids >= 0, '
      'such as [[7, 8], [4, 5, 6]]'
    )
  lengths = [len(row) for row in rows]
  longest = max(lengths)
  length = longest if length is None else length
  if min(lengths) < 1 or longest > length:
    raise ValueError(
      f'prompts: lengths {lengths}: write prompts of 1 to length={length} '
      'tokens'
    )
  tokens, mask = padded_rows(rows, length, pad_id)
  numbers = range(len(lengths)) if ids is None else ids
  return Prompt(
    jnp.asarray(tokens), jnp.asarray(mask), jnp.array([*numbers], jnp.int32)
  )


def padded_rows(
  rows: Sequence[Sequence[int] | Int[np.ndarray, '_']], length: int, pad_id: int
) -> tuple[Int[np.ndarray, 'u p'], Bool[np.ndarray, 'u p']]:
  """The rows left padded to `length` positions, and a mask that is False on the
  padding."""
  mask = np.arange(length) >= length - np.array([[len(x)] for x in rows])
  tokens = np.full(mask.shape, pad_id, np.int32)
  tokens[mask] = np.concatenate([np.asarray(x, np.int32) for x in rows])
  return tokens, mask


@no_type_check  # the result has another t
def trim_padding(trajectory: Trajectory, length: int) -> Trajectory:
  """The first `length` positions (static); no row may be longer."""
  per_position = trajectory._replace(terminated=None, steps=None)
  cut = jax.tree.map(lambda x: x[:, :length], per_position)
  return cut._replace(terminated=trajectory.terminated, steps=trajectory.steps)


def are_token_ids(values: Any) -> bool:
  """True for a sequence of integers >= 0, empty included."""
  try:
    ids = np.asarray(values)
  except ValueError:  # of lists of different lengths
    return False
  if ids.ndim != 1:
    return False
  integers = np.issubdtype(ids.dtype, np.integer)
  return not ids.size or bool(integers and ids.min() >= 0)
