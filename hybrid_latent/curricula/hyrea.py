"""HyRea's cold start: latents replace the steps of lowest entropy.

The paper ("Hybrid Reasoning", ICLR 2026) starts from plain solutions. In stage
s `<start-latent>`, c times `<latent>`, `<end-latent>` replace each of the s
steps of lowest entropy. The cross-entropy of text tokens has weight 1, that of
start and end weight 4, so that the model learns when to switch; a `<latent>` is
no target. Random replacement is the paper's ablation; the controls here are the
first, last and highest steps, pause tokens, and steps that are simply gone.

The paper defines neither the entropy of a step nor the number of stages nor the
treatment of short steps. Here the entropy is `row['entropies']`, steps of fewer
than `min_step_tokens` tokens and the ending are never replaced, and two
consecutive replaced steps are two spans.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from hybrid_latent.curricula.base import (
  Curriculum,
  Piece,
  document,
  encoder,
  token_ids,
)
from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.ranges import NonNegativeFloat, NonNegativeInt, UnitFloat

Replace = Literal['entropy', 'random', 'first', 'last', 'highest', 'none']
REPLACE = get_args(Replace)


def hyrea(
  tokenizer: Any,
  *,
  num_latents: NonNegativeInt = 1,
  replace: Replace = 'entropy',
  min_step_tokens: NonNegativeInt = 3,
  switch_weight: NonNegativeFloat = 4.0,
  uniform_prob: UnitFloat = 0.0,
  pause: bool = False,
  thinking_tags: tuple[str, str] = ('', ''),
  start: str = '<start-latent>',
  slot: str = '<latent>',
  end: str = '<end-latent>',
) -> Curriculum:
  """Stage s replaces s steps, or all of a row with fewer.

  Args:
    num_latents: c, latents per span; with 0 the steps are dropped, without a
      span.
    replace: which steps: 'entropy', those of lowest `row['entropies']` (one
      number per step; the first of equal ones), 'highest', those of highest;
      'random'; 'first'; 'last'; or 'none'.
    min_step_tokens: steps of fewer tokens are not replaced.
    switch_weight: weight of start and end in the loss.
    uniform_prob: probability per row of a number of steps drawn uniformly from
      0 to s instead, as `coconut.coconut` mixes its stages.
    pause: as in `coconut`.
    thinking_tags: texts before the first step and after the last one, which a
      format reward may ask for: ('<think>', '</think>').
    start, slot, end: tokens of the tokenizer.
  """
  if num_latents < 0 or not 0 <= uniform_prob <= 1:
    raise ValueError(
      f'num_latents={num_latents}, uniform_prob={uniform_prob}: accepted are '
      'a number of at least 0 and a probability'
    )
  if replace not in REPLACE:
    raise ValueError(f'replace={replace!r}: accepted are {REPLACE}')
  span = []
  if num_latents:
    first, within, last = token_ids(tokenizer, start, slot, end)
    # Start and end are targets: in decoding the model samples the switch.
    span = [
      Piece([first], switch_weight),
      Piece([within] * num_latents, latent=not pause),
      Piece([last], switch_weight),
    ]
  encode = encoder(tokenizer)

  def example(prompt_ids, row, stage, rng):
    steps, ending = split_solution(row)
    ids = [encode(step) for step in steps]
    if uniform_prob and rng.random() < uniform_prob:
      stage = rng.randint(0, stage)
    long = [i for i, step in enumerate(ids) if len(step) >= min_step_tokens]
    replaced = _replaced(replace, long, stage, row, len(steps), rng)
    reasoning = [
      piece
      for i, step in enumerate(ids)
      for piece in (span if i in replaced else [Piece(step, 1.0)])
    ]
    before, after = (Piece(encode(tag), 1.0) for tag in thinking_tags)
    answer = Piece([*encode(ending), tokenizer.eos_token_id], 1.0)
    return document([Piece(prompt_ids), before, *reasoning, after, answer])

  return Curriculum(
    example,
    num_latents=lambda stage: (
      0 if pause or replace == 'none' else stage * num_latents
    ),
    spans=lambda stage: {'slots': num_latents} if num_latents else {},
  )


def _replaced(
  replace: str,
  long: Sequence[int],
  stage: int,
  row: Mapping[str, Any],
  steps: int,
  rng: random.Random,
) -> set[int]:
  """Indices of the steps to replace, a subset of `long`."""
  if replace == 'none' or stage == 0:
    return set()
  if replace == 'random':
    # `rng` is seeded per row and stage, so that a resumed run repeats it.
    return set(rng.sample(long, min(stage, len(long))))
  if replace in ('first', 'last'):
    return {*(long[:stage] if replace == 'first' else long[-stage:])}
  entropies = row.get('entropies')
  if entropies is None or len(entropies) != steps:
    count = 'none' if entropies is None else len(entropies)
    raise ValueError(
      f"row['entropies']: found {count}, accepted is one number for each of "
      f'{steps} steps: compute them with experiments.step_entropy, or write '
      "replace='random'"
    )
  sign = -1 if replace == 'highest' else 1
  # sorted is stable: the first of equal steps.
  return set(sorted(long, key=lambda i: sign * entropies[i])[:stage])
