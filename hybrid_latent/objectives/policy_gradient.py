"""One policy-gradient loss, whose arguments select the loss of a paper.

  paper                 arguments                             advantage
  PPO 1707.06347        value_coef, value_clip                gae
  GRPO 2402.03300       aggregation='sequence', beta=0.04     group_relative
  Dr. GRPO 2503.20783   aggregation='constant', length=T      scale='none'
  DAPO 2503.14476       clip_range=(0.2, 0.28)                group_relative
  GSPO 2507.18071       aggregation='sequence',               group_relative
                        level='sequence', clip_range=(3e-4, 4e-4)
  RLOO 2402.14740       aggregation='sequence',               leave_one_out
    (TRL's variant)     level='sequence-sum'
  CISPO 2506.13585      surrogate='cispo', clip_range=(1, 4)  group_relative
  SAPO 2511.20347       surrogate='sapo', clip_range=None,    group_relative
                        aggregation='sequence'
  Soft Tokens           aggregation='sum', clip_range=None    leave_one_out
    2509.19170
  HRPO 2505.18454       aggregation='sequence',               group_relative
                        clip_range=None, beta=0.005
  HyRea, EasyR1's loss  clip_range=(0.2, 0.3), delta=3,       group_relative
                        beta=0.01
  GKD 2306.13649, on    beta=1, kl='k3+'                      zero
    its own samples

PPO and RLOO have the divergence in the reward: token rewards of -beta k1. GKD
(on-policy distillation) sums its reverse KL over the vocabulary; here it is
estimated from the sampled token, with the same expected gradient. The teacher
is the reference.

HRPO's loss has no old policy, hence no clipping: its trajectories must come
from the weights that are updated. A hybrid trajectory requires that anyway: its
recorded latents are outputs of those weights and inputs of the loss.

Deviations: `aggregation` applies to every term, so that a batch can be split
anywhere. verl's entropy bonus also follows it; TRL's is always a mean over
tokens, over the remaining ones where `top_entropy` drops some. Log-ratios are
not clamped (verl: at 20). TRL by default multiplies the divergence by the
ratio: see kl.py.
"""

from functools import partial
from typing import Annotated, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hybrid_latent.objectives.accumulators import RunningMax, RunningMean
from hybrid_latent.objectives.aggregation import (
  AGGREGATIONS,
  Aggregation,
  sequence_mean,
)
from hybrid_latent.objectives.base import (
  LossInputs,
  lookup,
  token_mean,
)
from hybrid_latent.objectives.kl import ESTIMATORS, Estimator
from hybrid_latent.objectives.ratio import (
  Correction,
  Level,
  clipped_log_ratio,
  clipped_weights,
  importance_log_ratio,
  importance_weights,
  soft_gate,
)
from hybrid_latent.ranges import (
  NonNegativeFloat,
  PositiveFloat,
  Range,
  Share,
  UnitFloat,
)

Surrogate = Literal['clip', 'cispo', 'sapo']
Metrics = dict[str, RunningMean | RunningMax]


def policy_gradient(
  inputs: LossInputs,
  *,
  aggregation: Aggregation = 'token',
  length: PositiveFloat | None = None,
  level: Level = 'token',
  surrogate: Surrogate = 'clip',
  clip_range: tuple[UnitFloat, PositiveFloat] | None = (0.2, 0.2),
  delta: Annotated[float, Range(gt=1)] | None = None,
  temperatures: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.05),
  beta: NonNegativeFloat = 0.0,
  kl: Estimator = 'k3',
  entropy_coef: float = 0.0,
  top_entropy: Share = 1.0,
  importance_sampling_mode: Correction = 'none',
  importance_sampling_cap: PositiveFloat = 3.0,
  importance_sampling_target: Literal['rollout', 'behavior'] = 'rollout',
  value_coef: NonNegativeFloat = 0.1,
  value_clip: PositiveFloat | None = 0.2,
) -> tuple[RunningMean, Metrics]:
  """The loss, and metrics under TRL's names. The loss of a counted token is

    -w min(rho A, clip(rho, 1 - low, 1 + high) A) + beta kl - entropy_coef H
      + value_coef / 2 max((V - R)^2, (clip(V, V_old -+ value_clip) - R)^2)

  aggregation: the mean over tokens and rows, see aggregation.py; 'constant'
    takes a `length`.
  level: rho is exp(log_probs - old_log_probs) of the 'token', of its 'sequence'
    (the geometric mean over the tokens) or of the 'sequence-sum'.
  surrogate: 'clip', or, in place of the first term, with sg for no gradient,
    'cispo': -w sg(clip(rho, 1 - low, 1 + high)) A log_probs,
    'sapo': -w 4 / tau sigmoid(tau (rho - 1)) A, where tau is the first of
    `temperatures` if A > 0, else the second. See ratio.py.
  clip_range: (low, high), or None for rho A alone and for 'sapo'. With 'clip'
    `delta` also bounds rho where A is negative.
  beta, kl: coefficient and estimator (kl.py) of the divergence from the
    reference.
  top_entropy: the share of tokens, those of highest entropy, that keep their
    policy and entropy terms (arXiv 2506.01939). It is a share of the tokens of
    `inputs`: the one setting that depends on the split into micro-batches.
  importance_sampling_mode: w is 1 with 'none'. With 'token_truncate',
    'token_mask', 'sequence_truncate' or 'sequence_mask' it is exp(old - target
    log-probs), without a gradient, bounded by `importance_sampling_cap` or 0
    above it. The target is 'rollout', or 'behavior' to correct for the sampling
    filter as well, see ratio.py.
  value_coef, value_clip: of the critic's loss, where `inputs` has values.
  """
  mean = lookup('aggregation', aggregation, AGGREGATIONS)
  if (aggregation == 'constant') != (length is not None):
    raise ValueError(
      f'length {length} with aggregation {aggregation!r}: write the largest '
      "number of tokens per completion with 'constant', None with any other"
    )
  if length is not None:
    mean = partial(mean, length=length)
  estimate = lookup('kl', kl, ESTIMATORS)
  lookup('surrogate', surrogate, dict.fromkeys(get_args(Surrogate)))
  mask = inputs.loss_mask
  # The inputs are masked, not the loss: a NaN at a masked position would enter
  # the gradient as 0 * NaN.
  per_token = inputs._replace(terminated=None)
  counted = jax.tree.map(lambda x: jnp.where(mask, x, 0), per_token)
  old_log_probs = (
    counted.log_probs
    if counted.old_log_probs is None
    else counted.old_log_probs
  )
  # In the first update the ratio is 1 in value; its gradient is still needed.
  old_log_probs = jax.lax.stop_gradient(old_log_probs)

  # From here on `loss` is per token, f32[b t]; `mean` reduces it at the end.
  loss, metrics = _surrogate(
    *(counted, old_log_probs, mask, level),
    *(surrogate, clip_range, delta, temperatures),
  )
  if importance_sampling_mode != 'none':
    weights, more = _importance_weights(
      counted,
      old_log_probs,
      mask,
      importance_sampling_mode,
      importance_sampling_cap,
      importance_sampling_target,
    )
    loss, metrics = weights * loss, metrics | more
  if entropy_coef:
    loss -= entropy_coef * counted.entropy
  # Before the divergence and the value error, which every token keeps.
  if top_entropy != 1:
    loss = jnp.where(
      _highest_entropy(counted.entropy, mask, top_entropy), loss, 0
    )
  if counted.ref_log_probs is not None:
    divergence = estimate(counted.log_probs, counted.ref_log_probs)
    loss += beta * divergence
    metrics['kl'] = token_mean(divergence, mask)
  elif beta:
    raise ValueError(
      f'beta {beta} and no inputs.ref_log_probs: write 0, or score a reference'
    )
  if counted.values is not None:
    error, more = _value_error(counted, mask, value_clip)
    loss, metrics = loss + value_coef * error, metrics | more
  return mean(loss, mask), metrics


def _surrogate(
  counted,
  old_log_probs,
  mask,
  level,
  surrogate,
  clip_range,
  delta,
  temperatures,
) -> tuple[Float[Array, 'b t'], Metrics]:
  """The loss per token, and the fractions of clipped ratios."""
  if surrogate != 'clip' and (clip_range is None) != (surrogate == 'sapo'):
    raise ValueError(
      f'clip_range {clip_range} with surrogate {surrogate!r}: write (low, '
      "high) with 'cispo', None with 'sapo', whose gate bounds the ratio"
    )
  if delta is not None and (surrogate != 'clip' or clip_range is None):
    raise ValueError(
      f"delta {delta} and no clip_range: write None, or surrogate='clip' and a "
      'clip_range'
    )
  log_ratio = importance_log_ratio(
    counted.log_probs - old_log_probs, mask, level
  )
  advantages, clipped = counted.advantages, {}
  if surrogate == 'cispo':
    weights, clipped = clipped_weights(log_ratio, clip_range)
    objective = weights * counted.log_probs
  elif surrogate == 'sapo':
    objective = soft_gate(log_ratio, advantages, temperatures)
  else:
    if clip_range is not None:
      log_ratio, clipped = clipped_log_ratio(
        log_ratio, advantages, clip_range, delta
      )
    objective = jnp.exp(log_ratio)
  if clipped:
    clipped['region'] = clipped['low'] | clipped['high']
  # A ratio of a whole sequence is clipped once per row, not once per token.
  mean = token_mean if level == 'token' else sequence_mean
  metrics: Metrics = {
    f'clip_ratio/{name}_mean': mean(x, mask) for name, x in clipped.items()
  }
  return -objective * advantages, metrics


def _importance_weights(
  counted, old_log_probs, mask, mode, cap, target
) -> tuple[Float[Array, 'b t'], Metrics]:
  """Weights per token that correct for a sampler other than the old policy."""
  behaviors = {
    'rollout': counted.rollout_log_probs,
    'behavior': counted.behavior_log_probs,
  }
  log_ratio = old_log_probs - lookup(
    'importance_sampling_target', target, behaviors
  )
  weights = importance_weights(log_ratio, mask, mode, cap)
  # A sequence's weight is repeated at its tokens: averaged once per row.
  mean = token_mean if mode.startswith('token') else sequence_mean
  name = 'sampling/importance_sampling_ratio'
  return weights, {
    f'{name}/mean': mean(weights, mask),
    f'{name}/max': RunningMax(jnp.max(jnp.where(mask, weights, 0))),
  }


def _highest_entropy(entropy, mask, share):
  """The mask of the tokens of highest entropy (TRL's top_entropy_quantile)."""
  if not 0 <= share <= 1:
    raise ValueError(f'top_entropy {share}: write a share from 0 to 1 (all)')
  # NaN instead of a boolean index: the shape stays static under jit, and a
  # comparison with NaN is False.
  counted = jnp.where(mask, entropy, jnp.nan)
  return counted >= jnp.nanquantile(counted, 1 - share)


def _value_error(
  counted, mask, value_clip
) -> tuple[Float[Array, 'b t'], Metrics]:
  """Half the squared error of the critic, clipped as in PPO: a change of the
  value by more than `value_clip` per batch does not lower it."""
  if counted.returns is None:
    raise ValueError(
      'inputs.values without returns: write the advantage gae:gae, which '
      'computes them, or critic.enabled=False'
    )
  values, returns = counted.values, counted.returns
  error, clipped = (values - returns) ** 2, jnp.zeros_like(mask)
  if value_clip is not None and counted.old_values is not None:
    old = counted.old_values
    near = jnp.clip(values, old - value_clip, old + value_clip)
    other = (near - returns) ** 2
    # The larger of both: the bound may raise the loss, never lower it.
    error, clipped = jnp.maximum(error, other), other > error
  return error / 2, {
    'value_loss': token_mean(error / 2, mask),
    'clip_ratio/value': token_mean(clipped, mask),
  }
