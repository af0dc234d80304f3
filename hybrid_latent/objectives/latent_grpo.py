"""Latent-GRPO's advantages (arXiv 2604.27998).

GRPO's, with two corrections for latents:

- Invalid-sample advantage masking. A completion without end has advantage 0 and
  is not in the statistics of its group.
- Optimal correct-path first-token selection. Of the completions of a group with
  a positive advantage, that of the largest mean log-prob is the best. All other
  completions of the group have advantage 0 at their first token: reinforcing
  the first latent of several right paths would move it to a mixture of them,
  which is none.

As in the public code (github.com/DJC-GO-SOLO/Latent-GRPO, core_algos.py). There
a completion that is alone in its group after the masking has its reward as
advantage; here it has 0, as everywhere. The third correction, one-sided noise,
is of the sampling (feedback/gumbel_soft.py).
"""

from typing import Any

import jax.numpy as jnp

from hybrid_latent.objectives import advantages
from hybrid_latent.objectives.base import (
  AdvantageInputs,
  Advantages,
)


def group_relative(
  inputs: AdvantageInputs, group: int, **kwargs: Any
) -> Advantages:
  """Those of `advantages.group_relative`, which takes the keywords, with both
  corrections. `inputs` must have `log_probs` and `terminated`."""
  mask: Any = inputs.loss_mask
  log_probs: Any = inputs.log_probs
  terminated: Any = inputs.terminated
  valid = jnp.where(terminated, advantages.row_rewards(inputs), jnp.nan)
  values = advantages.group_relative(
    inputs._replace(rewards=valid), group, **kwargs
  ).values
  first = mask & (jnp.cumsum(mask, axis=1) == 1)
  # By row; those of a row without a counted token do not matter.
  count = jnp.maximum(mask.sum(1), 1)
  mean_log_prob = jnp.where(mask, log_probs, 0).sum(1) / count
  positive = jnp.where(first, values, 0).sum(1) > 0
  in_groups = lambda x: x.reshape(-1, group)
  ranked = in_groups(jnp.where(positive, mean_log_prob, -jnp.inf))
  best = jnp.arange(group)[None] == jnp.argmax(ranked, axis=1)[:, None]
  has_best = in_groups(positive).any(1, keepdims=True)
  others = (has_best & ~best).reshape(-1, 1)
  return Advantages(jnp.where(first & others, 0, values))
