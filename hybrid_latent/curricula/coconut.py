"""Coconut: step after step of the solution gives way to latents at its front.

The paper (Hao et al., arXiv 2412.06769; facebookresearch/coconut) lets stage s
drop the first s steps and put c latents for each of them in front of the rest,
between a start and an end token; behind the last stage no step is left. The two
tokens are forced in training and in decoding, and no more a target than the
latents are: the first target comes after the end token.

As in the code: up to stage `max_latent_stage` there are s steps' latents, even
where the row has fewer steps. Other than the code, which has both tokens at
stage 0 as well (its `cot` mode has not), our stage 0 is plain training on
worked solutions. The mode `no_thoughts` is `c_thought=0, delimiters=False`.
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
  start: str = '<start-latent>',
  slot: str = '<latent>',
  end: str = '<end-latent>',
) -> Curriculum:
  """Stage s drops s steps; stages after `max_latent_stage` drop all.

  Args:
    c_thought: c, latents for each dropped step.
    max_latent_stage: the last stage that counts its steps.
    uniform_prob: how likely a row takes a stage at random instead, of 0 to the
      number of its steps.
    pad_latent_to_max: after stage `max_latent_stage`, whether a row of fewer
      steps has max_latent_stage * c_thought latents too.
    delimiters: whether `start` and `end` stand around the latents.
    start, slot, end: tokens of the tokenizer, as far as they are used.
  """
  if min(c_thought, max_latent_stage) < 0 or not 0 <= uniform_prob <= 1:
    raise ValueError(
      f'c_thought={c_thought}, max_latent_stage={max_latent_stage}, '
      f'uniform_prob={uniform_prob}: accepted are two '
      'numbers from 0 on and a probability'
    )
  used = [start, end] * delimiters + [slot] * bool(c_thought)
  ids = dict(zip(used, token_ids(tokenizer, *used), strict=True))
  before = Piece([ids[start]] if delimiters else [])
  after = Piece([ids[end]] if delimiters else [])
  encode = encoder(tokenizer)

  def example(prompt_ids, row, stage, rng: random.Random):
    steps, ending = split_solution(row)
    if uniform_prob and rng.random() < uniform_prob:
      stage = rng.randint(0, len(steps))
    dropped, thoughts = stage, stage
    if stage > max_latent_stage:
      dropped, thoughts = (
        len(steps),
        max_latent_stage
        if pad_latent_to_max
        else min(len(steps), max_latent_stage),
      )
    slots = [ids[slot]] * (thoughts * c_thought) if c_thought else []
    span = [before, Piece(slots, latent=True), after] if stage else []
    left = [Piece(encode(text), 1.0) for text in [*steps[dropped:], ending]]
    stop = Piece([tokenizer.eos_token_id], 1.0)
    return document([Piece(prompt_ids), *span, *left, stop])

  def counted(stage):
    return min(stage, max_latent_stage) * c_thought

  return Curriculum(
    example,
    num_latents=lambda stage: counted(
      max_latent_stage if uniform_prob else stage
    ),
    spans=lambda stage: {
      'slots': counted(stage),
      'opening': delimiters * stage > 0,
    },
  )
