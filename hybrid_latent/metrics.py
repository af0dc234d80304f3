"""What a batch of completions says of a policy, under TRL's names."""

from collections.abc import Mapping
from math import comb

import numpy as np
from jaxtyping import Bool, Float

from hybrid_latent.types import Trajectory


def completion_metrics(
  out: Trajectory, rows: Bool[np.ndarray, 'b'] | None = None
) -> dict[str, float]:
  """Lengths in tokens, forced ones included; the hidden ratio: the mean, over
  the thinking's tokens that the model read on from, of how latent that input
  was; and of such inputs, by completion, how many were latent at all
  (`latent_tokens`) and how often a run of these began (`switches`). `out` holds
  numpy arrays; `rows` picks those that count."""
  rows = np.ones(len(out.mask), bool) if rows is None else rows
  mask, ended = out.mask[rows], out.ended[rows]
  lengths, thinking = mask.sum(-1), out.thinking[rows]
  read = mask[:, 1:]  # a row's last token is never read
  inputs = out.latent[rows][:, :-1]
  ratios = inputs[thinking[:, :-1] & read]
  margins = np.minimum(ratios, 1 - ratios)
  latent = (inputs > 0) & read
  began = latent & ~np.pad(latent, ((0, 0), (1, 0)))[:, :-1]
  return {
    **_spread('completions/{}_length', lengths),
    **_spread('completions/{}_terminated_length', lengths[ended]),
    'completions/tokens': float(lengths.sum()),
    'completions/clipped_ratio': float(1 - ended.mean()),
    'completions/mean_forced': float((mask & ~out.free[rows]).sum(-1).mean()),
    'hidden_ratio': float(ratios.mean()) if ratios.size else 0.0,
    'hidden_ratio_margin': float(margins.mean()) if ratios.size else 0.0,
    'latent_tokens': float(latent.sum(-1).mean()),
    'switches': float(began.sum(-1).mean()),
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
  return each | {
    'reward': float(np.nanmean(reward)) if _some(reward) else 0.0,
    'reward_std': float(np.mean(stds)) if stds else 0.0,
    'frac_reward_zero_std': float(flat_groups(reward, group).mean()),
    'rewards/ungraded': float(np.isnan(reward).mean()),
  }


def flat_groups(
  reward: Float[np.ndarray, 'b'], group: int
) -> Bool[np.ndarray, 'u']:
  """The groups whose graded rewards are all the same."""
  groups = [g[~np.isnan(g)] for g in reward.reshape(-1, group)]
  # Not std == 0, which rounding hides: float32 0.3 seven times has 3e-8.
  return np.array([g.size < 2 or np.ptp(g) == 0 for g in groups])


def pass_at_k(correct: Bool[np.ndarray, 'u samples'], k: int) -> float:
  """The chance that one of k completions of a problem is correct, mean over
  the problems: 1 - C(n - c, k) / C(n, k) with c of its n samples correct, which
  is unbiased (Chen et al., arXiv 2107.03374)."""
  n = correct.shape[1]
  if not 1 <= k <= n:
    raise ValueError(f'k={k}: there are {n} samples of a problem, so 1 to {n}')
  wrong = n - correct.sum(1)
  return float(np.mean([1 - comb(int(w), k) / comb(n, k) for w in wrong]))


def _spread(name, values):
  values = values if values.size else np.zeros(1)
  return {
    name.format(what): float(f(values))
    for what, f in (('mean', np.mean), ('min', np.min), ('max', np.max))
  }


def _some(values):
  return not np.isnan(values).all()
