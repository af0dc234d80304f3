"""AdamW with parameter groups, and gradient accumulation."""

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

# Metrics that, where present, must be finite for an update to be applied.
_MUST_BE_FINITE = 'loss', 'grad_norm', 'sampling/sampling_logp_difference/mean'


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
  """AdamW with parameter groups and one global gradient clip.

  Each group is name: {pattern, lr, weight_decay}; a leaf belongs to the group
  whose regular expression is found in its name ('model.layers.q.lora.a'). The
  learning rates share one schedule: linear warmup over `warmup_ratio * steps`,
  then 'cosine' to zero or 'constant'. `max_grad_norm` bounds the global norm
  over all groups together.
  """
  schedule_fn = _schedule(schedule, steps, warmup_ratio)
  labels = map_named(lambda name, _: _group(name, groups), params)
  transforms: dict = {
    label: optax.adamw(
      lambda step, lr=group['lr']: lr * schedule_fn(step),
      b1=b1,
      b2=b2,
      weight_decay=group['weight_decay'],
    )
    for label, group in groups.items()
  }
  return optax.chain(
    # Before the partition, which would otherwise clip each group's norm.
    optax.clip_by_global_norm(max_grad_norm),
    optax.partition(transforms, labels),
  )


def learning_rates(
  state: PyTree,
  groups: Mapping[str, Mapping[str, Any]],
  *,
  steps: int,
  warmup_ratio: float = 0.1,
  schedule: str = 'cosine',
  **_: Any,
) -> dict[str, Num[Array, '']]:
  """`learning_rate/GROUP` of the next update, from the state of `adamw`."""
  # Every transformation of every group counts the same updates.
  count: Any = optax.tree.get_all_with_path(state, 'count')[0][1]
  share = _schedule(schedule, steps, warmup_ratio)(count)
  return {f'learning_rate/{x}': groups[x]['lr'] * share for x in groups}


def _schedule(schedule, steps, warmup_ratio):
  warmup = min(round(warmup_ratio * steps), max(steps - 1, 0))
  if schedule == 'cosine':
    return optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup, max(steps, 1))
  if schedule == 'constant':
    return optax.linear_schedule(0.0 if warmup else 1.0, 1.0, warmup)
  raise ValueError(f"schedule {schedule!r}: write 'cosine' or 'constant'")


def _group(name, groups) -> str:
  matches = [g for g in groups if re.search(groups[g]['pattern'], name)]
  if len(matches) != 1:
    patterns = {label: group['pattern'] for label, group in groups.items()}
    raise ValueError(
      f'parameter {name!r} is in the optimizer groups {matches} of {patterns}: '
      'write patterns of which exactly one is found in its name'
    )
  return matches[0]


def is_trained(
  params: PyTree, groups: Mapping[str, Mapping[str, Any]]
) -> Callable[[str], bool]:
  """A predicate on names: whether any group's pattern is found in the name.
  ValueError for a pattern that is found in no parameter."""
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
  """The gradient of the mean loss over a batch, and the value of each metric.

  The batch is processed in `gradient_accumulation_steps` slices of its first
  dimension. Totals, counts and gradients of totals are summed over them and
  divided once, so that the slicing changes only memory.
  """

  def total(params, micro_batch):
    mean, others = loss(params, micro_batch)
    return mean.total, {'loss': mean, **others}

  gradient_of = jax.grad(total, has_aux=True)

  # Sums over a scan: one micro-batch's activations exist at a time.
  def accumulate(gradient, micro_batch):
    change, metrics = gradient_of(params, micro_batch)
    return jax.tree.map(jnp.add, gradient, change), metrics

  if gradient_accumulation_steps == 1:
    gradient, metrics = gradient_of(params, batch)
  else:
    zero = jax.tree.map(jnp.zeros_like, params)
    gradient, metrics = jax.lax.scan(
      accumulate, zero, _sliced(batch, gradient_accumulation_steps)
    )
  # A mean of means would weight the tokens of short micro-batches more.
  count = jnp.maximum(metrics['loss'].count.sum(), 1)
  gradient = jax.tree.map(lambda g: g / count, gradient)
  return gradient, {name: metric.value for name, metric in metrics.items()}


def finite_step(
  tx: optax.GradientTransformation,
  gradient: PyTree,
  metrics: Mapping[str, Num[Array, '']],
  state: PyTree,
  params: PyTree,
) -> tuple[PyTree, PyTree, dict[str, Num[Array, '']]]:
  """Parameters and optimizer state after an update of `tx`; unchanged where the
  loss, the gradient norm or the rollout's log-probs are not finite.

  Adds to `metrics`: `grad_norm`; `skipped_updates`, 1 where the update was
  skipped; `nonfinite_arrays`, the number of parameters' arrays with a NaN or an
  infinity after it (an overflow, a learning rate of NaN).
  """
  metrics = {**metrics, 'grad_norm': optax.tree.norm(gradient)}
  finite = jnp.array(True)
  for name in _MUST_BE_FINITE:
    finite &= jnp.isfinite(metrics.get(name, 0))
  updates, new_state = tx.update(gradient, state, params)
  new = optax.apply_updates(params, updates), new_state
  # Elementwise, so that it happens in place where the arguments are donated.
  keep = lambda new, old: jnp.where(finite, new, old)
  params, state = jax.tree.map(keep, new, (params, state))
  # A finite loss and gradient can still overflow in the update itself; not in
  # the moments, which a finite norm bounds. A sum is read in one pass.
  sums = [jnp.sum(x, dtype=jnp.float32) for x in jax.tree.leaves(params)]
  metrics['skipped_updates'] = 1.0 - finite
  metrics['nonfinite_arrays'] = (~jnp.isfinite(jnp.array(sums))).sum()
  return params, state, metrics


def slice_of(batch: PyTree, count: int, index: Int[Array, ''] | int) -> PyTree:
  """One of `count` slices of a batch's rows."""
  return jax.tree.map(lambda x: x[index], _sliced(batch, count))


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
