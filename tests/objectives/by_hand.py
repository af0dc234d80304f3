"""The loss once more, in float64 numpy and as its papers write it."""

import functools

import jax
import numpy as np

from hybrid_latent.objectives.base import LossInputs
from hybrid_latent.objectives.policy_gradient import policy_gradient
from tests.tiny import QUICK

LENGTHS = np.array([5, 1, 4, 3])
PAPERS = {
  'PPO': {'value_clip': 0.5, 'value_coef': 0.3},
  'GRPO': {'aggregation': 'sequence', 'beta': 0.04},
  'Dr. GRPO': {'aggregation': 'constant', 'length': 7},
  'DAPO': {'clip_range': (0.2, 0.28)},
  'GSPO': {
    'aggregation': 'sequence',
    'level': 'sequence',
    'clip_range': (0.03, 0.04),
  },
  'CISPO': {'surrogate': 'cispo', 'clip_range': (0.3, 0.2)},
  'SAPO': {
    'surrogate': 'sapo',
    'aggregation': 'sequence',
    'clip_range': None,
    'temperatures': (1.0, 3.0),
  },
  'RLOO': {'aggregation': 'sequence', 'level': 'sequence-sum'},
  'Soft Tokens': {'aggregation': 'sum', 'clip_range': None},
  'HRPO': {'aggregation': 'sequence', 'clip_range': None, 'beta': 0.005},
  'HyRea': {'clip_range': (0.2, 0.3), 'delta': 1.5, 'beta': 0.01},
}
CARRIERS = ('log_probs', 'entropy', 'values')  # of the gradient


def loss_inputs(*, lengths=LENGTHS, critic=False, **fields) -> LossInputs:
  """Rows that have already been learned from: of their tokens, sequences and
  means, some ratios are clipped above, some below, some not at all."""
  rng = np.random.default_rng(11)
  shape = len(lengths), max(lengths)
  old = -rng.exponential(size=shape)
  near = lambda scale: old + scale * rng.normal(size=shape)
  advantages = rng.normal(size=(shape[0], 1)) + np.zeros(shape)
  values, returns, old_values = rng.normal(size=(3, *shape))
  made = LossInputs(
    log_probs=near(0.3),
    entropy=rng.exponential(size=shape),
    values=None,
    loss_mask=np.arange(shape[1]) < np.array(lengths)[:, None],
    advantages=advantages,
    old_log_probs=old,
    rollout_log_probs=near(0.6),
    behavior_log_probs=near(0.3) + 0.5,
    ref_log_probs=near(0.5),
  )
  if critic:
    made = made._replace(values=values, returns=returns, old_values=old_values)
  return made._replace(**fields)


def carriers(e: LossInputs) -> dict[str, np.ndarray]:
  """The fields that carry a gradient."""
  return {k: getattr(e, k) for k in CARRIERS if getattr(e, k) is not None}


def loss_and_gradients(e: LossInputs, **how):
  """Ours, in float64, with the metrics."""
  with jax.enable_x64(True):
    (value, metrics), slopes = _slopes(frozenset(how.items()))(carriers(e), e)
    metrics = {name: float(x.value) for name, x in metrics.items()}
    return float(value), jax.tree.map(np.asarray, slopes), metrics


def one_token(log_ratio, advantage, **how):
  """The loss of a token, its slope and the metrics."""
  field = np.full((1, 1), log_ratio)
  e = loss_inputs(
    lengths=[1], log_probs=field, old_log_probs=0 * field, ref_log_probs=None
  )
  e = e._replace(advantages=np.full((1, 1), advantage))
  value, gradients, metrics = loss_and_gradients(e, **how)
  return value, gradients['log_probs'].item(), metrics


@functools.cache
def _slopes(how):
  """A program for each setting."""

  def loss(fields, e):
    mean, metrics = policy_gradient(e._replace(**fields), **dict(how))
    return mean.value, metrics

  return jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICK)


def finite_differences(e: LossInputs, **how) -> dict[str, np.ndarray]:
  """Central ones of `loss_by_hand`, by each number of each carrier."""
  step, slopes = 1e-6, {}
  for name, x in carriers(e).items():
    slopes[name] = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
      nudge = np.zeros(x.shape)
      nudge[at] = step
      up, down = (
        loss_by_hand(e._replace(**{name: x + by}), weights_of=e, **how)
        for by in (nudge, -nudge)
      )
      slopes[name][at] = (up - down) / (2 * step)
  return slopes


def loss_by_hand(
  e: LossInputs,
  *,
  aggregation='token',
  length=None,
  level='token',
  surrogate='clip',
  clip_range=(0.2, 0.2),
  delta=None,
  temperatures=(1.0, 1.05),
  beta=0.0,
  kl='k3',
  entropy_coef=0.0,
  top_entropy=1.0,
  importance_sampling_mode='none',
  importance_sampling_cap=3.0,
  importance_sampling_target='rollout',
  value_coef=0.1,
  value_clip=0.2,
  weights_of=None,
) -> float:
  """Row by row; `old` and `old_values` are given. CISPO's weights, which carry
  no gradient, are those of `weights_of`."""
  counted = np.sort(e.entropy[e.loss_mask])
  threshold = np.quantile(counted, 1 - top_entropy)
  rows = []
  for b in range(len(e.loss_mask)):
    row = [
      None if x is None else x[b][e.loss_mask[b]]
      for x in e._replace(loss_mask=None)
    ]
    row = LossInputs(*row)
    keep = row.entropy >= threshold
    a, log_ratio = row.advantages, row.log_probs - row.old_log_probs
    if level == 'sequence':
      log_ratio = np.full_like(log_ratio, log_ratio.mean())
    if level == 'sequence-sum':
      log_ratio = np.full_like(log_ratio, log_ratio.sum())
    rho = np.exp(log_ratio)
    each = rho * a
    if surrogate == 'cispo':
      now = (weights_of or e).log_probs[b][e.loss_mask[b]]
      low, high = 1 - clip_range[0], 1 + clip_range[1]
      weight = np.minimum(
        high, np.maximum(low, np.exp(now - row.old_log_probs))
      )
      each = weight * row.log_probs * a
    elif surrogate == 'sapo':
      tau = np.array([temperatures[0] if x > 0 else temperatures[1] for x in a])
      each = 4 / tau / (1 + np.exp(-tau * (rho - 1))) * a
    elif clip_range is not None:
      inner = rho if delta is None else np.minimum(rho, delta)
      bounded = np.clip(rho, 1 - clip_range[0], 1 + clip_range[1])
      each = np.minimum(inner * a, bounded * a)
    if importance_sampling_mode != 'none':
      drift = row.old_log_probs - getattr(
        row, f'{importance_sampling_target}_log_probs'
      )
      if importance_sampling_mode.startswith('sequence'):
        drift = np.full_like(drift, drift.sum())
      weight = np.exp(drift)
      over = (
        importance_sampling_cap
        if importance_sampling_mode.endswith('truncate')
        else 0
      )
      each = each * np.where(weight > importance_sampling_cap, over, weight)
    each = -(each + entropy_coef * row.entropy) * keep
    if beta:
      d = row.log_probs - row.ref_log_probs
      each += beta * {'k1': d, 'k2': d**2 / 2, 'k3': np.exp(-d) - 1 + d}[kl]
    if row.values is not None:
      error = (row.values - row.returns) ** 2
      if value_clip is not None:
        near = row.old_values + np.clip(
          row.values - row.old_values, -value_clip, value_clip
        )
        error = np.maximum(error, (near - row.returns) ** 2)
      each += value_coef / 2 * error
    rows.append(each)
  return {
    'token': lambda: np.concatenate(rows).mean(),
    'sequence': lambda: np.mean([row.mean() for row in rows]),
    'constant': lambda: sum(row.sum() for row in rows) / (len(rows) * length),
    'sum': lambda: np.mean([row.sum() for row in rows]),
  }[aggregation]()
