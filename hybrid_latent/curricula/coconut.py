"""Coconut: step after step of the solution gives way to latents at its front.

The paper (Hao et al., arXiv 2412.06769; facebookresearch/coconut) lets stage s
drop the first s steps and put c latents for each of them in front of the rest,
between a start and an end token; behind the last stage no step is left. The two
tokens are forced in training and in decoding, and no more a target than the
latents are: the first target comes after the end token.

As in the code: up to stage `most` there are s steps' latents, even where the
row has fewer steps. Other than the code, which has both tokens at stage 0 as
well (its `cot` mode has not), our stage 0 is plain training on worked
solutions. The mode `no_thoughts` is `per_step=0, marks=False`.
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
from hybrid_latent.curricula.steps import worked
from hybrid_latent.ranges import NonNegativeInt, UnitFloat


def coconut(
  tokenizer: Any,
  *,
  per_step: NonNegativeInt = 1,
  most: NonNegativeInt = 6,
  uniform: UnitFloat = 0.0,
  pad: bool = True,
  marks: bool = True,
  start: str = '<start-latent>',
  slot: str = '<latent>',
  end: str = '<end-latent>',
) -> Curriculum:
  """Stage s drops s steps; stages after `most` drop all.

  Args:
    per_step: c, latents for each dropped step.
    most: the last stage that counts its steps.
    uniform: how likely a row takes a stage at random instead, of 0 to the
      number of its steps.
    pad: after stage `most`, whether a row of fewer steps has most * per_step
      latents too.
    marks: whether `start` and `end` stand around the latents.
    start, slot, end: tokens of the tokenizer, as far as they are used.
  """
  if min(per_step, most) < 0 or not 0 <= uniform <= 1:
    raise ValueError(
      f'per_step={per_step}, most={most}, uniform={uniform}: accepted are two '
      'numbers from 0 on and a probability'
    )
  used = [start, end] * marks + [slot] * bool(per_step)
  ids = dict(zip(used, token_ids(tokenizer, *used), strict=True))
  before = Piece([ids[start]] if marks else [])
  after = Piece([ids[end]] if marks else [])
  encode = encoder(tokenizer)

  def example(prompt_ids, row, stage, rng: random.Random):
    steps, ending = worked(row)
    if uniform and rng.random() < uniform:
      stage = rng.randint(0, len(steps))
    dropped, thoughts = stage, stage
    if stage > most:
      dropped, thoughts = len(steps), most if pad else min(len(steps), most)
    slots = [ids[slot]] * (thoughts * per_step) if per_step else []
    span = [before, Piece(slots, latent=True), after] if stage else []
    left = [Piece(encode(text), 1.0) for text in [*steps[dropped:], ending]]
    stop = Piece([tokenizer.eos_token_id], 1.0)
    return document([Piece(prompt_ids), *span, *left, stop])

  def counted(stage):
    return min(stage, most) * per_step

  return Curriculum(
    example,
    latents=lambda stage: counted(most if uniform else stage),
    spans=lambda stage: {'slots': counted(stage), 'opening': marks * stage > 0},
  )
