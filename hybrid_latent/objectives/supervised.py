"""Cross-entropy of given completions; that of texts is in texts.py."""

from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.aggregation import AGGREGATIONS, Aggregation
from hybrid_latent.objectives.base import LossInputs, lookup


def cross_entropy(
  inputs: LossInputs, *, aggregation: Aggregation = 'token'
) -> tuple[RunningMean, dict[str, RunningMean]]:
  """The cross-entropy in nats of given completions, with the aggregations of
  aggregation.py."""
  mean = lookup('aggregation', aggregation, AGGREGATIONS)
  return mean(-inputs.log_probs, inputs.loss_mask), {}
