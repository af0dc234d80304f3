"""Cross-entropy of given completions, as the loss of a policy."""

from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.aggregation import AGGREGATIONS, Aggregation
from hybrid_latent.objectives.base import LossInputs, lookup


def cross_entropy(
  inputs: LossInputs, *, aggregation: Aggregation = 'token'
) -> tuple[RunningMean, dict[str, RunningMean]]:
  """The loss in nats, with the aggregations of aggregation.py."""
  mean = lookup('aggregation', aggregation, AGGREGATIONS)
  return mean(-inputs.log_probs, inputs.loss_mask), {}
