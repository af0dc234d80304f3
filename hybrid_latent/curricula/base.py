"""What every curriculum gives: from a row of data and a stage to an example.

A row has the steps of its worked solution and the ending that states the
answer (`steps.split_solution`). Each of them is tokenised by itself, so that a
step that is left out or replaced changes no token of the others.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

Encode = Callable[[str], list[int]]


class Document(NamedTuple):
  """One example as a model reads it."""

  tokens: Int[np.ndarray, 't']
  weights: Float[np.ndarray, 't']  # of the loss of this token; 0: no target
  latent: Bool[np.ndarray, 't']  # reads a latent, made at the position before
  view: Int[np.ndarray, 't']  # 0, or 1 in a second text that stands by itself
  align_position: Bool[np.ndarray, 't']  # where two parts are to know the same


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
    """The example that a row of data is at a stage, which counts from 0."""
    ...


class Curriculum(NamedTuple):
  """Training examples that change from stage to stage."""

  document: DocumentFn
  # stage -> the most latents that a part of an example can have
  num_latents: Callable[[int], int]
  # stage -> fields of `feedback.switching.Spans` in decoding
  spans: Callable[[int], Mapping[str, Any]] = lambda stage: {}


class Piece(NamedTuple):
  """Tokens that are treated alike."""

  ids: Sequence[int]
  weight: float = 0.0
  latent: bool = False
  align_position: bool = False  # of its last token


def document(*views: Sequence[Piece]) -> Document:
  """One part, or two, each of pieces in order."""
  pieces = [piece for view in views for piece in view]
  part = [number for number, some in enumerate(views) for _ in some]
  sizes = np.array([len(piece.ids) for piece in pieces], int)
  spread = lambda values, kind: np.repeat(np.array(values, kind), sizes)
  align_positions = (np.cumsum(sizes) - 1)[
    [piece.align_position for piece in pieces]
  ]
  return Document(
    tokens=np.array([i for piece in pieces for i in piece.ids], np.int32),
    weights=spread([piece.weight for piece in pieces], np.float32),
    latent=spread([piece.latent for piece in pieces], bool),
    view=spread(part, np.int32),
    align_position=np.isin(np.arange(sizes.sum()), align_positions),
  )


def encoder(tokenizer: Any) -> Encode:
  """Text -> its token ids, none added before or after."""
  return lambda text: tokenizer.encode(text, add_special_tokens=False)


def token_ids(tokenizer: Any, *texts: str) -> list[int]:
  """The ids of a method's own tokens."""
  vocabulary = tokenizer.get_vocab()
  if missing := [text for text in texts if text not in vocabulary]:
    raise ValueError(
      f'the tokenizer has no token {missing}: name them in '
      'config.model.new_tokens, or train from a model that has them'
    )
  return [vocabulary[text] for text in texts]
