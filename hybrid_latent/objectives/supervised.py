"""Cross-entropy of given texts.

An objective of supervised training is a function of `SupervisedInputs` that
returns a loss and metrics. `loss_weights` is the mean over targets, as in
transformers and TRL (over the whole batch, not per device), with a weight per
target: HyRea (ICLR 2026) weighs a switch token four times.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.base import token_mean
from hybrid_latent.policy import Policy
from hybrid_latent.types import Segments, TokenBatch


class SupervisedInputs(NamedTuple):
  """The inputs of a supervised loss: a slice of a batch of texts."""

  policy: Policy  # with the parameters of the loss, if any, in `.objective`
  texts: TokenBatch
  x: Float[Array, 'b t d']  # the policy's inputs, latents with their gradient
  # Positions and mask of the forward pass.
  layout: tuple[Int[Array, 'b t'], Bool[Array, 'b t t'] | Segments]
  loss_weights: Float[Array, 'b t']  # of each target in the whole batch's loss
  slices: int  # of the batch
  # (model, hidden states) -> `latents.TargetScores` of the texts
  score: Callable[..., Any]

  def mean(self, total: Num[Array, '']) -> RunningMean:
    """The part `total` of a mean over the batch: each slice counts the same."""
    return RunningMean(total, jnp.float32(1 / self.slices))


def weighted_cross_entropy(
  inputs: SupervisedInputs,
) -> tuple[RunningMean, dict[str, RunningMean]]:
  """The cross-entropy in nats of the policy's targets, with their weights."""
  hidden, _ = inputs.policy.forward(inputs.x, None, *inputs.layout)
  total, metrics = target_loss(inputs, hidden)
  return inputs.mean(total), metrics


def target_loss(
  inputs: SupervisedInputs, hidden: Float[Array, 'b t d']
) -> tuple[Float[Array, ''], dict[str, RunningMean]]:
  """This slice's part of the cross-entropy from the policy's hidden states, and
  metrics. Targets of views from 2 on are those of another decoder."""
  scores = inputs.score(inputs.policy, hidden)
  own = inputs.texts.view < 2
  targets = (inputs.texts.weights > 0) & own
  return -jnp.sum(jnp.where(own, inputs.loss_weights, 0) * scores.log_probs), {
    'entropy': token_mean(scores.entropy, targets),
    'mean_token_accuracy': token_mean(scores.is_argmax, targets),
  }


def loss_weights(texts: TokenBatch) -> Float[Array, 'b t']:
  """The weight of each token in the batch's loss: the weighted mean over the
  targets of view 0, plus that over those of view 1, plus that over those of all
  further views."""
  target = texts.weights > 0
  views = [texts.view == 0, texts.view == 1, texts.view > 1]
  counts = [jnp.maximum(jnp.sum(target & view), 1) for view in views]
  return texts.weights / jnp.select(views, counts)
