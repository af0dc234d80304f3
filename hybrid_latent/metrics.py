"""What a batch of completions says of a policy, under TRL's names."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from hybrid_latent.types import Trajectory


def completion_metrics(
  out: Trajectory, rows: Bool[np.ndarray, 'b'] | None = None
) -> dict[str, float]:
  """Lengths in tokens, and the hidden ratio: the mean, over the thinking's
  tokens that the model read on from, of how latent that input was. `out` holds
  numpy arrays; `rows` picks those that count."""
  rows = np.ones(len(out.mask), bool) if rows is None else rows
  mask, ended = out.mask[rows], out.ended[rows]
  lengths, thinking = mask.sum(-1), out.thinking[rows]
  read = thinking[:, :-1] & mask[:, 1:]  # a row's last token is never read
  latent = out.latent[rows][:, :-1][read]
  return {
    **_spread('completions/{}_length', lengths),
    **_spread('completions/{}_terminated_length', lengths[ended]),
    'completions/tokens': float(lengths.sum()),
    'completions/clipped_ratio': float(1 - ended.mean()),
    'hidden_ratio': float(latent.mean()) if latent.size else 0.0,
  }


def reward_metrics(
  grades: Mapping[str, Float[np.ndarray, 'b']],
  reward: Float[np.ndarray, 'b'],
  group: int,
) -> dict[str, float]:
  """Mean and standard deviation of each reward and of the total (`reward_std`:
  mean over groups), the share of groups without any spread, from which nothing
  can be learned, and the share of completions that could not be graded."""
  each = {
    f'rewards/{name}/{what}': float(f(values)) if _some(values) else 0.0
    for name, values in grades.items()
    for what, f in (('mean', np.nanmean), ('std', np.nanstd))
  }
  groups = [g[~np.isnan(g)] for g in reward.reshape(-1, group)]
  stds = [g.std(ddof=1) for g in groups if g.size > 1]
  # Not std == 0, which rounding hides: float32 0.3 seven times has 3e-8.
  flat = [g.size < 2 or np.ptp(g) == 0 for g in groups]
  return each | {
    'reward': float(np.nanmean(reward)) if _some(reward) else 0.0,
    'reward_std': float(np.mean(stds)) if stds else 0.0,
    'frac_reward_zero_std': float(np.mean(flat)),
    'rewards/ungraded': float(np.isnan(reward).mean()),
  }


def _spread(name, values):
  values = values if values.size else np.zeros(1)
  return {
    name.format(what): float(f(values))
    for what, f in (('mean', np.mean), ('min', np.min), ('max', np.max))
  }


def _some(values):
  return not np.isnan(values).all()
