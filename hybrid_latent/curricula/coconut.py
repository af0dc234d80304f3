"""Coconut: latents replace the steps of the solution, the first ones first.

In stage s of the paper (Hao et al., arXiv 2412.06769; facebookresearch/coconut)
c latents per dropped step, between a start and an end token, replace the first
s steps; after the last stage all steps are dropped. The two tokens are forced
in training and decoding, and like the latents they are no targets: the first
target follows the end token.

As in the authors' code, a row has the latents of s steps up to stage
`max_latent_stage`, even where it has fewer steps. Unlike there, where stage 0
has both tokens (only the `cot` mode has none), our stage 0 is plain training on
solutions. The mode `no_thoughts` is `c_thought=0, delimiters=False`, the mode
`pause_as_thought` is `pause`.
"""

import random
from typing import Any

from hybrid_latent.curricula.base import (
  Curriculum,
  Piece,
  document,
  encoder,
  token_ids,
)
from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.ranges import NonNegativeInt, UnitFloat


def coconut(
  tokenizer: Any,
  *,
  c_thought: NonNegativeInt = 1,
  max_latent_stage: NonNegativeInt = 6,
  uniform_prob: UnitFloat = 0.0,
  pad_latent_to_max: bool = True,
  delimiters: bool = True,
  pause: bool = False,
  start: str = '<start-latent>',
  slot: str = '<latent>',
  end: str = '<end-latent>',
) -> Curriculum:
  """Stage s drops s steps; stages after `max_latent_stage` drop all.

  Args:
    c_thought: c, latents per dropped step.
    max_latent_stage: the last stage s that drops s steps.
    uniform_prob: probability per row of a stage drawn uniformly from 0 to the
      number of its steps instead.
    pad_latent_to_max: whether after stage `max_latent_stage` rows with fewer
      steps have max_latent_stage * c_thought latents, too.
    delimiters: whether `start` and `end` enclose the latents.
    pause: whether the inputs of the span are its `slot` tokens, without latents
      (Goyal et al., arXiv 2310.02226); decode with 'discrete:discrete' inside
      of 'switching:switching'.
    start, slot, end: tokens of the tokenizer; unused ones may be absent.
  """
  if min(c_thought, max_latent_stage) < 0 or not 0 <= uniform_prob <= 1:
    raise ValueError(
      f'c_thought={c_thought}, max_latent_stage={max_latent_stage}, '
      f'uniform_prob={uniform_prob}: accepted are two numbers of at least 0 '
      'and a probability'
    )
  # Only the tokens in use have to be in the vocabulary.
  used = [start, end] * delimiters + [slot] * bool(c_thought)
  ids = dict(zip(used, token_ids(tokenizer, *used), strict=True))
  before = Piece([ids[start]] if delimiters else [])
  after = Piece([ids[end]] if delimiters else [])
  encode = encoder(tokenizer)

  def example(prompt_ids, row, stage, rng: random.Random):
    steps, ending = split_solution(row)
    # Mixes examples of other stages into each stage.
    if uniform_prob and rng.random() < uniform_prob:
      stage = rng.randint(0, len(steps))
    dropped = thoughts = stage
    if stage > max_latent_stage:
      dropped, thoughts = len(steps), max_latent_stage
      if not pad_latent_to_max:
        thoughts = min(len(steps), max_latent_stage)
    slots = [ids[slot]] * (thoughts * c_thought) if c_thought else []
    # Weight 0 (the default): decoding forces the whole span.
    span = [before, Piece(slots, latent=not pause), after] if stage else []
    rest = [Piece(encode(text), 1.0) for text in [*steps[dropped:], ending]]
    stop = Piece([tokenizer.eos_token_id], 1.0)
    return document([Piece(prompt_ids), *span, *rest, stop])

  def num_slots(stage):
    return min(stage, max_latent_stage) * c_thought

  # With uniform_prob a row of any stage may have those of the last stage.
  def num_latents(stage):
    return num_slots(max_latent_stage if uniform_prob else stage) * (not pause)

  return Curriculum(
    example,
    num_latents,
    spans=lambda stage: (
      {
        'slots': num_slots(stage),
        'opening': stage > 0,
        'delimiters': delimiters,
      }
      if used
      else {}
    ),
  )
