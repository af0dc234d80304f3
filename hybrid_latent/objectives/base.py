"""Inputs and results of advantages and losses.

A loss or a metric is a (total, count) pair. Micro-batches, devices and hosts
add their totals and counts, and the division happens once, when the value is
reported: the mean over a batch does not depend on how the batch is split.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.accumulators import RunningMax, RunningMean

Option = TypeVar('Option')


class AdvantageInputs(NamedTuple):
  """Rewards of completions, and what else an advantage depends on."""

  rewards: Float[Array, 'b']  # NaN: ungraded
  loss_mask: Bool[Array, 'b t']  # the tokens that a loss counts
  token_rewards: Float[Array, 'b t'] | None = None  # added to `rewards`
  values: Float[Array, 'b t'] | None = None  # the critic's
  log_probs: Float[Array, 'b t'] | None = None  # as sampled, see Trajectory
  latent_share: Float[Array, 'b t'] | None = None  # see Trajectory
  terminated: Bool[Array, 'b'] | None = None  # ended by a stop token


class Advantages(NamedTuple):
  """Advantages per token, with the critic's targets."""

  values: Float[Array, 'b t']
  returns: Float[Array, 'b t'] | None = None  # the critic's targets


class LossInputs(NamedTuple):
  """The inputs of a loss. The first three fields carry the gradient."""

  log_probs: Float[Array, 'b t']
  entropy: Float[Array, 'b t']  # nats, of the unfiltered distribution
  values: Float[Array, 'b t'] | None  # the critic's
  loss_mask: Bool[Array, 'b t']  # the tokens that count
  advantages: Float[Array, 'b t']
  # Before the updates on this batch; None in its first update, where they equal
  # log_probs.
  old_log_probs: Float[Array, 'b t'] | None
  # Computed by the rollout, of the unfiltered distribution.
  rollout_log_probs: Float[Array, 'b t']
  # Of the filtered distribution that the tokens were sampled from.
  behavior_log_probs: Float[Array, 'b t']
  ref_log_probs: Float[Array, 'b t'] | None = None
  returns: Float[Array, 'b t'] | None = None
  old_values: Float[Array, 'b t'] | None = None  # None: equal to values
  latent_share: Float[Array, 'b t'] | None = None  # see Trajectory
  terminated: Bool[Array, 'b'] | None = None  # ended by a stop token


def token_mean(
  values: Float[Array, 'b t'] | Bool[Array, 'b t'], mask: Bool[Array, 'b t']
) -> RunningMean:
  """The mean over the tokens of the mask."""
  return RunningMean(
    jnp.sum(jnp.where(mask, values, 0)), mask.sum(dtype=jnp.float32)
  )


class Advantage(Protocol):
  """An estimator of advantages, its settings bound (`functools.partial`)."""

  def __call__(self, inputs: AdvantageInputs, group: int, /) -> Advantages:
    """Advantages per token; each `group` consecutive rows are of one prompt."""
    ...


class Objective(Protocol):
  """A loss, its settings bound (`functools.partial`)."""

  def __call__(
    self, inputs: Any, /
  ) -> tuple[RunningMean, Mapping[str, RunningMean | RunningMax]]:
    """The loss to minimise and metrics by name, of `LossInputs` or, in
    supervised training, of `supervised.SupervisedInputs`."""
    ...


def lookup(field: str, name: str, options: Mapping[str, Option]) -> Option:
  """options[name]. ValueError, with the names of `options`, for any other."""
  if name not in options:
    raise ValueError(f'{field} {name!r}: write one of {[*options]}')
  return options[name]
