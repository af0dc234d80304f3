"""Metrics of a batch of completions, under TRL's names."""

from collections.abc import Mapping
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

if TYPE_CHECKING:  # which imports jax, and measures of a record need none
  from hybrid_latent.types import Trajectory


def completion_metrics(
  out: 'Trajectory', rows: Bool[np.ndarray, 'b'] | None = None
) -> dict[str, float]:
  """Lengths in tokens, forced ones included; the hidden ratio: the mean latent
  share of the inputs of the thinking; per completion the number of inputs with
  a latent share > 0 (`latent_tokens`) and of runs of these (`switches`). `out`
  holds numpy arrays; `rows` selects those that count."""
  rows = np.ones(len(out.mask), bool) if rows is None else rows
  mask, ended = out.mask[rows], out.terminated[rows]
  lengths, thinking = mask.sum(-1), out.thinking_mask[rows]
  is_input = mask[:, 1:]  # a row's last token is no input
  inputs = out.latent_share[rows][:, :-1]
  ratios = inputs[thinking[:, :-1] & is_input]
  margins = np.minimum(ratios, 1 - ratios)
  latent = (inputs > 0) & is_input
  # A run begins where the input before it is not latent.
  began = latent & ~np.pad(latent, ((0, 0), (1, 0)))[:, :-1]
  return {
    **_spread('completions/{}_length', lengths),
    **_spread('completions/{}_terminated_length', lengths[ended]),
    'completions/tokens': float(lengths.sum()),
    'completions/clipped_ratio': float(1 - ended.mean()),
    'completions/mean_forced': float(
      (mask & ~out.policy_mask[rows]).sum(-1).mean()
    ),
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
  mean over groups) over the graded completions, NaN without any; the share of
  groups with zero deviation, which give no gradient; and the share of ungraded
  completions, per reward and in total."""
  each = {
    f'rewards/{name}/{what}': _of_graded(f, values)
    for name, values in grades.items()
    for what, f in (('mean', np.mean), ('std', np.std))
  }
  each |= {
    f'rewards/{name}/ungraded': float(np.isnan(values).mean())
    for name, values in grades.items()
  }
  groups = [g[~np.isnan(g)] for g in reward.reshape(-1, group)]
  stds = [g.std(ddof=1) for g in groups if g.size > 1]
  if not stds and not np.isnan(reward).all():
    stds = [0.0]  # no group has two graded completions
  return each | {
    'reward': _of_graded(np.mean, reward),
    'reward_std': float(np.mean(stds)) if stds else np.nan,
    'frac_reward_zero_std': float(zero_std_groups(reward, group).mean()),
    'rewards/ungraded': float(np.isnan(reward).mean()),
  }


def zero_std_groups(
  reward: Float[np.ndarray, 'b'], group: int
) -> Bool[np.ndarray, 'u']:
  """The groups whose graded rewards are all equal."""
  groups = [g[~np.isnan(g)] for g in reward.reshape(-1, group)]
  # Not std == 0: by rounding, that of seven times float32 0.3 is 3e-8.
  return np.array([g.size < 2 or np.ptp(g) == 0 for g in groups])


def evaluation_metrics(
  grades: Float[np.ndarray, 'u samples'], too_long: int = 0
) -> dict[str, float]:
  """Metrics of one reward's grades on u problems, NaN where not graded.

  `mean` is over the graded completions, as is pass@k, for rewards of 0 and 1,
  over the problems with at least k of those (`pass@k/prompts`); `of_all` is the
  mean with 0 for ungraded completions and for the `too_long` problems whose
  prompts were skipped, as papers count a missing answer. `judged` and
  `ungraded` count completions.
  """
  u, samples = grades.shape
  graded = grades[~np.isnan(grades)]
  metrics = {
    'mean': _of_graded(np.mean, graded),
    'judged': graded.size,
    'ungraded': grades.size - graded.size,
    'of_all': float(graded.sum() / ((u + too_long) * samples)),
  }
  # pass@k is defined for correct or wrong only; k are the powers of two.
  if samples > 1 and np.isin(graded, (0, 1)).all():
    for k in (2**i for i in range(samples.bit_length())):
      metrics[f'pass@{k}'] = pass_at_k(grades, k)
      metrics[f'pass@{k}/prompts'] = int((_graded(grades) >= k).sum())
  return metrics


def pass_at_k(
  grades: Float[np.ndarray, 'u samples'] | Bool[np.ndarray, 'u samples'], k: int
) -> float:
  """The probability that one of k completions of a problem is correct, mean
  over the problems with at least k graded ones, NaN without any: 1 - C(n - c,
  k) / C(n, k) with c of its n graded samples correct, which is unbiased (Chen
  et al., arXiv 2107.03374). `grades` are 0, 1, and NaN where not graded."""
  samples = grades.shape[1]
  if not 1 <= k <= samples:
    raise ValueError(
      f'pass_at_k: k={k}: write 1 to {samples}, the samples per problem'
    )
  correct = np.nansum(grades, 1).astype(int)
  counts = zip(_graded(grades).tolist(), correct.tolist(), strict=True)
  chances = [1 - comb(n - c, k) / comb(n, k) for n, c in counts if n >= k]
  return float(np.mean(chances)) if chances else np.nan


def _graded(grades):
  return (~np.isnan(grades)).sum(1)


def _spread(name, values):
  values = values if values.size else np.zeros(1)
  return {
    name.format(what): float(f(values))
    for what, f in (('mean', np.mean), ('min', np.min), ('max', np.max))
  }


def _of_graded(f, values):
  values = values[~np.isnan(values)]
  return float(f(values)) if values.size else np.nan
