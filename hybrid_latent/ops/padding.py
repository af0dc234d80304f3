"""Prompts of different lengths as one batch."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from hybrid_latent.types import Prompt


def left_padded(
  prompts: Sequence[Sequence[int]],
  *,
  length: int | None = None,
  pad_id: int = 0,
  ids: Sequence[int] | None = None,
) -> Prompt:
  """A batch of prompts, each a sequence of token ids.

  Args:
    prompts: each of at least one token.
    length: p, by default that of the longest.
    pad_id: fills the masked positions left of shorter prompts.
    ids: the number of each prompt, which seeds its samples; by default its
      index.
  """
  lengths = [len(prompt) for prompt in prompts]
  longest = max(lengths, default=0)
  length = longest if length is None else length
  if not lengths or min(lengths) < 1 or longest > length:
    raise ValueError(
      f'prompts: lengths {lengths}: write prompts of 1 to length={length} '
      'tokens'
    )
  tokens, mask = padded_rows(prompts, length, pad_id)
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
