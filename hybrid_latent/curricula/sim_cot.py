"""SIM-CoT's texts: each step, to be said from the latents in its place.

SIM-CoT (arXiv 2509.20317; InternLM/SIM-CoT) trains on the examples of Coconut
or CODI, and a decoder on one text per step: the latents of that step, its
tokens and the end of text. The last latents stand for all remaining steps.
Where a solution has fewer steps than the example has latents for, the others
stand for the ending with Coconut and for nothing with CODI, as in the released
code. There CODI's first step is said from the projected state that becomes the
first latent, and a seventh after six latents; here each latent that is read has
its step.

The decoder's texts, for `objectives.sim_cot`, are the views of an example from
2 on; `align_position` marks where their inputs are latents. They are segments
of the example's row: the policy reads them, too, without a loss.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np

from hybrid_latent.curricula import coconut as base_coconut
from hybrid_latent.curricula import codi as base_codi
from hybrid_latent.curricula.base import (
  Curriculum,
  Document,
  Piece,
  document,
  encoder,
)
from hybrid_latent.curricula.steps import split_solution


@wraps(base_coconut.coconut)  # its keywords are those of a config
def coconut(tokenizer: Any, **kwargs: Any) -> Curriculum:
  """Coconut's examples, with the steps that their latents replace."""
  base = base_coconut.coconut(tokenizer, **kwargs)
  most, c = kwargs.get('max_latent_stage', 6), kwargs.get('c_thought', 1)
  return _with_steps(tokenizer, base, split_solution, most, c)


@wraps(base_codi.codi)
def codi(tokenizer: Any, **kwargs: Any) -> Curriculum:
  """CODI's examples, with the steps that their teacher reads."""

  def steps_of(row):
    steps, _ = split_solution(row)
    return steps if kwargs.get('last_step') else steps[:-1], ''

  base = base_codi.codi(tokenizer, **kwargs)
  return _with_steps(tokenizer, base, steps_of, base.num_latents(0), 1)


def _with_steps(
  tokenizer: Any,
  base: Curriculum,
  steps_of: Callable[[Mapping[str, Any]], tuple[list[str], str]],
  most: int,
  c: int,
) -> Curriculum:
  """The examples of `base` with a decoder's text per `c` latents, of at most
  `most` texts; `steps_of` returns the steps of a row and the text that stands
  for each missing one."""
  encode = encoder(tokenizer)

  def example(prompt_ids, row, stage, rng):
    made = base.document(prompt_ids, row, stage, rng)
    slots = made.tokens[made.latent].tolist()
    if not slots:
      return made
    steps, missing = steps_of(row)
    texts = [[step] for step in steps[: most - 1]]
    texts += [steps[most - 1 :]] * (len(steps) >= most)
    texts += [[missing]] * (most - len(texts))
    views = []
    for text, first in zip(texts, range(0, len(slots), c), strict=False):
      ids = [i for step in text for i in encode(step)]
      end = [tokenizer.eos_token_id] if ids else []
      latents = [Piece([i], align_position=True) for i in slots[first:][:c]]
      views.append([*latents, Piece([*ids, *end], 1.0)])
    said = document(*views)
    said = said._replace(view=said.view + 2)
    pairs = zip(made[:5], said[:5], strict=True)
    return Document(*map(np.concatenate, pairs))

  return base._replace(document=example)
