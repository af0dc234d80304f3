"""AdamW with parameter groups, and gradients of sums over micro-batches."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Num

from hybrid_latent.objectives.accumulators import RunningMax, RunningMean
from hybrid_latent.trees import map_named, named_leaves
from hybrid_latent.types import PyTree

# What has to be finite, of what there is, for a step to be taken.
_DECISIVE = 'loss', 'grad_norm', 'sampling/sampling_logp_difference/mean'


def adamw(
  params: PyTree,
  groups: Mapping[str, Mapping[str, Any]],
  *,
  steps: int,
  warmup_ratio: float = 0.1,
  schedule: str = 'cosine',
  b1: float = 0.9,
  b2: float = 0.99,
  max_grad_norm: float = 0.1,
) -> optax.GradientTransformation:
  """AdamW in groups under one joint gradient clip.

  Each group is name: {pattern, lr, weight_decay}; a leaf belongs to the one
  whose regular expression is found in its name ('model.layers.q.lora.a'). The
  rates share one schedule: linear warmup over `warmup_ratio * steps`, then
    'cosine'
  to zero or 'constant'. `max_grad_norm` bounds the global norm over all groups
  together.
  """
  shape = _schedule(schedule, steps, warmup_ratio)
  labels = map_named(lambda name, _: _group(name, groups), params)
  transforms: dict = {
    label: optax.adamw(
      lambda step, lr=group['lr']: lr * shape(step),
      b1=b1,
      b2=b2,
      weight_decay=group['weight_decay'],
    )
    for label, group in groups.items()
  }
  return optax.chain(
    optax.clip_by_global_norm(max_grad_norm),
    optax.partition(transforms, labels),
  )


def _schedule(schedule, steps, warmup_ratio):
  rise = round(warmup_ratio * steps)
  if schedule == 'cosine':
    return optax.warmup_cosine_decay_schedule(0.0, 1.0, rise, max(steps, 1))
  if schedule == 'constant':
    return optax.linear_schedule(0.0 if rise else 1.0, 1.0, rise)
  raise ValueError(f"schedule {schedule!r}: write 'cosine' or 'constant'")


def _group(name, groups) -> str:
  found = [g for g in groups if re.search(groups[g]['pattern'], name)]
  if len(found) != 1:
    patterns = {label: group['pattern'] for label, group in groups.items()}
    raise ValueError(
      f'parameter {name!r} is in the optimizer groups {found} of {patterns}: '
      'write patterns of which exactly one is found in its name'
    )
  return found[0]


def is_trained(
  params: PyTree, groups: Mapping[str, Mapping[str, Any]]
) -> Callable[[str], bool]:
  """Whether any group's pattern is found in a name. Each must find one."""
  names = list(named_leaves(params))
  for label, group in groups.items():
    if not any(re.search(group['pattern'], name) for name in names):
      raise ValueError(
        f'optimizer group {label!r}: pattern {group["pattern"]!r} is found in '
        f'no parameter; names look like {names[:2] + names[-2:]}'
      )
  patterns = [group['pattern'] for group in groups.values()]
  return lambda name: any(re.search(pattern, name) for pattern in patterns)


def mean_gradient(
  loss: Callable[
    ..., tuple[RunningMean, Mapping[str, RunningMean | RunningMax]]
  ],
  params: PyTree,
  batch: PyTree,
  *,
  gradient_accumulation_steps: int,
) -> tuple[PyTree, dict[str, Num[Array, '']]]:
  """The gradient of the mean loss over a batch, and the value of each part.

  The batch is read in `gradient_accumulation_steps` slices of its first
  dimension. Totals, counts and gradients of totals are summed over them and
  divided once, so that the slicing changes nothing but the memory.
  """

  def total(params, part):
    mean, others = loss(params, part)
    return mean.total, {'loss': mean, **others}

  def add(gradient, part):
    more, parts = jax.grad(total, has_aux=True)(params, part)
    return jax.tree.map(jnp.add, gradient, more), parts

  zero = jax.tree.map(jnp.zeros_like, params)
  gradient, parts = jax.lax.scan(
    add, zero, _sliced(batch, gradient_accumulation_steps)
  )
  count = jnp.maximum(parts['loss'].count.sum(), 1)
  gradient = jax.tree.map(lambda g: g / count, gradient)
  return gradient, {name: part.value for name, part in parts.items()}


def finite_step(
  tx: optax.GradientTransformation,
  gradient: PyTree,
  metrics: Mapping[str, Num[Array, '']],
  state: PyTree,
  params: PyTree,
) -> tuple[PyTree, PyTree, dict[str, Num[Array, '']]]:
  """Parameters and optimizer state after a step of `tx`; as they were where the
  loss, the norm of the gradient or the rollout's log-probs are not finite.

  Adds to `metrics`: `grad_norm`; `skipped_updates`, 1 where the step was left
  out; `nonfinite_arrays`, how many arrays hold a NaN or an infinity after it
  (an overflow, a rate that is NaN).
  """
  metrics = {**metrics, 'grad_norm': optax.tree.norm(gradient)}
  finite = jnp.array(True)
  for name in _DECISIVE:
    finite &= jnp.isfinite(metrics.get(name, 0))
  changes, new_state = tx.update(gradient, state, params)
  new = optax.apply_updates(params, changes), new_state
  # Elementwise, so that it happens in place where the arguments are donated.
  keep = lambda new, old: jnp.where(finite, new, old)
  params, state = jax.tree.map(keep, new, (params, state))
  broken = [
    ~jnp.isfinite(x).all()
    for x in jax.tree.leaves((params, state))
    if jnp.issubdtype(x.dtype, jnp.inexact)
  ]
  metrics['skipped_updates'] = 1.0 - finite
  metrics['nonfinite_arrays'] = jnp.array(broken).sum()
  return params, state, metrics


def slice_of(batch: PyTree, count: int, which: Int[Array, ''] | int) -> PyTree:
  """One of `count` slices of a batch's rows."""
  return jax.tree.map(lambda x: x[which], _sliced(batch, count))


def _sliced(batch, count):
  """Leaves [count, rows / count, ...]: strided slices, so that each holds a
  share of every device's rows."""
  rows = jax.tree.leaves(batch)[0].shape[0]
  if rows % count:
    raise ValueError(
      f'a batch of {rows} rows (prompts * group) cannot be cut into {count} '
      'equal parts: change gradient_accumulation_steps or num_mini_batches'
    )
  return jax.tree.map(
    lambda x: jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0), batch
  )
