"""What an advantage and a loss are given, and means that are not yet divided.

A loss or a metric is a (total, count) pair. Micro-batches, devices and hosts
contribute totals and counts; whoever reports divides once. The mean over a
batch is then the same however the batch was cut.

Over what a loss is averaged has a name here, in TRL and in verl:

  here       TRL loss_type  verl loss_agg_mode
  token      dapo           token-mean
  sequence   grpo           seq-mean-token-mean
  constant   dr_grpo        seq-mean-token-sum-norm, which spares the / rows
  sum        luspo          seq-mean-token-sum

TRL's bnpo is 'token' over a micro-batch alone, which no cut leaves unchanged.
Rows without a counted token do not count, as in verl; TRL counts them.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.objectives.accumulators import RunningMax, RunningMean

Option = TypeVar('Option')


class AdvantageInputs(NamedTuple):
  """Completions with their rewards, from which advantages are made."""

  rewards: Float[Array, 'b']  # NaN: could not be graded
  loss_mask: Bool[Array, 'b t']  # the tokens that a loss counts
  token_rewards: Float[Array, 'b t'] | None = None  # added to them, by token
  values: Float[Array, 'b t'] | None = None  # the critic's


class Advantages(NamedTuple):
  """How much better than expected each token was."""

  values: Float[Array, 'b t']
  returns: Float[Array, 'b t'] | None = None  # what a critic learns


class LossInputs(NamedTuple):
  """A batch as a loss sees it. The first three fields carry the gradient."""

  log_probs: Float[Array, 'b t']
  entropy: Float[Array, 'b t']  # nats, of the whole distribution
  values: Float[Array, 'b t'] | None  # the critic's
  loss_mask: Bool[Array, 'b t']  # the tokens that count
  advantages: Float[Array, 'b t']
  # log-probs before this batch's updates;
  old_log_probs: Float[Array, 'b t'] | None
  # None: these are its first, so that they are log_probs themselves
  # log-probs as the rollout computed them
  rollout_log_probs: Float[Array, 'b t']
  # of the filtered distribution drawn from
  behavior_log_probs: Float[Array, 'b t']
  ref_log_probs: Float[Array, 'b t'] | None = None
  returns: Float[Array, 'b t'] | None = None
  old_values: Float[Array, 'b t'] | None = None  # None: values themselves


def token_mean(
  values: Float[Array, 'b t'] | Bool[Array, 'b t'], mask: Bool[Array, 'b t']
) -> RunningMean:
  """Every position counts the same."""
  return RunningMean(
    jnp.sum(jnp.where(mask, values, 0)), mask.sum(dtype=jnp.float32)
  )


def sequence_mean(
  values: Float[Array, 'b t'] | Bool[Array, 'b t'], mask: Bool[Array, 'b t']
) -> RunningMean:
  """Every row counts the same, and within it every position."""
  lengths = jnp.maximum(mask.sum(-1, keepdims=True, dtype=jnp.float32), 1)
  return sequence_sum(values / lengths, mask)


def constant_mean(
  values: Float[Array, 'b t'], mask: Bool[Array, 'b t'], length: float
) -> RunningMean:
  """Sums over rows as if each had `length` positions, so that a position
  counts the same in rows of any length and in batches of any length (Dr. GRPO,
  arXiv 2503.20783)."""
  return sequence_sum(values / length, mask)


def sequence_sum(
  values: Float[Array, 'b t'], mask: Bool[Array, 'b t']
) -> RunningMean:
  """The mean over rows of their sums: the log-probability of a row."""
  total = jnp.sum(jnp.where(mask, values, 0))
  return RunningMean(total, mask.any(-1).sum(dtype=jnp.float32))


class Advantage(Protocol):
  """How rewards become advantages, its settings bound (`functools.partial`)."""

  def __call__(self, judged: AdvantageInputs, group: int, /) -> Advantages:
    """The advantage of each token; each `group` rows are of one prompt."""
    ...


class Objective(Protocol):
  """A loss, its settings bound (`functools.partial`)."""

  def __call__(
    self, experience: LossInputs, /
  ) -> tuple[RunningMean, Mapping[str, RunningMean | RunningMax]]:
    """The loss to minimise, and metrics by their names."""
    ...


Aggregation = Literal['token', 'sequence', 'constant', 'sum']
AGGREGATIONS: dict[str, Callable[..., RunningMean]] = {
  'token': token_mean,
  'sequence': sequence_mean,
  'constant': constant_mean,
  'sum': sequence_sum,
}


def lookup(field: str, name: str, options: Mapping[str, Option]) -> Option:
  """options[name], or an error that lists what there is."""
  if name not in options:
    raise ValueError(f'{field} {name!r}: write one of {[*options]}')
  return options[name]
