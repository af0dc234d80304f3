"""CoLaR's examples: the steps, several tokens at a time.

"Think Silently, Think Fast", Tan et al., arXiv 2505.16552; xiaomi-research/
colar. The tokens of the steps are read in groups of `compression`: one input,
the sum of their embeddings over the root of their number (`sqrt_mean` of the
release, which keeps the variance), and one target, each of them with an equal
share. The ending follows in tokens, up to `delimiter` also as targets of the
latent head (`objectives.colar`), which is at `align_position`.

The paper draws the compression from 1 to 5 per batch and writes it into the
prompt, so that it can be chosen at inference; here it is fixed. The release
begins the thinking with the delimiter as well, which we do not.
"""

from typing import Any

import numpy as np

from hybrid_latent.curricula.base import Curriculum, Piece, document, encoder
from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.ranges import PositiveInt


def colar(
  tokenizer: Any, *, compression: PositiveInt = 5, delimiter: str = '####'
) -> Curriculum:
  """All stages are equal; no latent depends on the hidden states.

  Args:
    compression: tokens per latent.
    delimiter: text that ends the thinking, `rollout.end_of_thinking`.
  """
  encode = encoder(tokenizer)

  def example(prompt_ids, row, stage, rng):
    steps, ending = split_solution(row)
    ids = [i for step in steps for i in encode(step)]
    starts = range(0, len(ids), compression)
    groups = [ids[start : start + compression] for start in starts]
    before, found, rest = ending.partition(delimiter)
    latents = [*(group[0] for group in groups), *encode(before + found)]
    made = document(
      [
        Piece(prompt_ids),
        *(Piece([i], 1.0, align_position=True) for i in latents),
        Piece([*encode(rest), tokenizer.eos_token_id], 1.0),
      ]
    )
    shape = len(made.tokens), compression
    targets, shares = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    targets[:, 0], shares[:, 0] = made.tokens, 1
    for place, group in enumerate(groups, len(prompt_ids)):
      targets[place, : len(group)] = group
      shares[place, : len(group)] = len(group) ** -0.5
    return made._replace(targets=targets, shares=shares)

  return Curriculum(example, num_latents=lambda stage: 0)
