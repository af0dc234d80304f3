"""The interface of a curriculum: (row of data, stage) -> training example.

A row has the steps of its solution and the ending that states the answer
(`steps.split_solution`). Each is tokenised separately, so that a step that is
dropped or replaced changes no token of the others.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

Encode = Callable[[str], list[int]]


class Document(NamedTuple):
  """One training example, unpadded."""

  tokens: Int[np.ndarray, 't']
  weights: Float[np.ndarray, 't']  # of this token in the loss; 0: no target
  latent: Bool[np.ndarray, 't']  # input is the latent of the position before
  # 0; 1 in a second sequence (CODI's teacher), from 2 on in SIM-CoT's decoder's
  view: Int[np.ndarray, 't']
  align_position: Bool[np.ndarray, 't']  # where the views' states are aligned
  # Where tokens are mixtures: ids and shares, of an equal m in all examples.
  targets: Int[np.ndarray, 't m'] | None = None
  shares: Float[np.ndarray, 't m'] | None = None


class DocumentFn(Protocol):
  """`Curriculum.document`."""

  def __call__(
    self,
    prompt_ids: Sequence[int],
    row: Mapping[str, Any],
    stage: int,
    rng: random.Random,
    /,
  ) -> Document:
    """The training example of a row at a stage, which counts from 0."""
    ...


class Curriculum(NamedTuple):
  """Training examples that change from stage to stage."""

  document: DocumentFn
  # stage -> the largest number of latents per view of an example
  num_latents: Callable[[int], int]
  # stage -> fields of `feedback.switching.Spans` for decoding
  spans: Callable[[int], Mapping[str, Any]] = lambda stage: {}


class Piece(NamedTuple):
  """Consecutive tokens with the same weight and kind."""

  ids: Sequence[int]
  weight: float = 0.0
  latent: bool = False
  align_position: bool = False  # of its last token


def document(*views: Sequence[Piece]) -> Document:
  """The document of one view or two, each a sequence of pieces."""
  pieces = [piece for view in views for piece in view]
  view_ids = [i for i, view in enumerate(views) for _ in view]
  sizes = np.array([len(piece.ids) for piece in pieces], int)
  spread = lambda values, kind: np.repeat(np.array(values, kind), sizes)
  last_tokens = np.cumsum(sizes) - 1
  align_positions = last_tokens[[piece.align_position for piece in pieces]]
  return Document(
    tokens=np.array([i for piece in pieces for i in piece.ids], np.int32),
    weights=spread([piece.weight for piece in pieces], np.float32),
    latent=spread([piece.latent for piece in pieces], bool),
    view=spread(view_ids, np.int32),
    align_position=np.isin(np.arange(sizes.sum()), align_positions),
  )


def encoder(tokenizer: Any) -> Encode:
  """Text -> its token ids, without special tokens."""

  @lru_cache(maxsize=4096)  # of a generated task many steps are equal
  def encode(text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)

  return encode


def token_ids(tokenizer: Any, *texts: str) -> list[int]:
  """The ids of a method's special tokens, such as '<latent>'."""
  vocabulary = tokenizer.get_vocab()
  if missing := [text for text in texts if text not in vocabulary]:
    raise ValueError(
      f'the tokenizer has no token {missing}: name them in '
      'config.model.new_tokens, or train from a model that has them'
    )
  return [vocabulary[text] for text in texts]
