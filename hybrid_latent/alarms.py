"""Alarms of a training run, from the metrics of its steps.

An alarm is on when its condition has held for `window` steps in a row. The
state is one count per alarm, saved in the notes of a checkpoint.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

Metrics = Mapping[str, float]


class Alarm(NamedTuple):
  """A condition on the metrics of a step and a threshold. Where a metric is
  absent the condition does not hold."""

  holds: Callable[[Metrics, float], bool]
  text: str  # cause and remedy, with {threshold}


ALARMS = {
  'flat_groups': Alarm(
    lambda m, share: m['frac_reward_zero_std'] >= share,
    'a share of at least {threshold} of the groups has completions of equal '
    'reward, hence no gradient: where all are 0, check in '
    'completions.jsonl that answers have the form that the reward parses, '
    'such as #### 22 or \\boxed{{22}}; else choose prompts of another '
    'difficulty, another reward or a larger rollout.num_generations',
  ),
  'entropy_collapse': Alarm(
    lambda m, nats: m['entropy'] < nats,
    'the entropy is below {threshold} nats per token, so the policy no longer '
    'explores: lower the learning rate or write objective.kwargs.entropy_coef',
  ),
  'length_explosion': Alarm(
    lambda m, share: (
      m['completions/clipped_ratio'] >= share
      or m['completions/mean_length'] >= share * m['max_tokens']
    ),
    'a share of at least {threshold} of the completions is truncated, or their '
    'mean length is that share of rollout.max_completion_length: raise '
    'rollout.max_completion_length or reward shorter completions',
  ),
  'kl_blowup': Alarm(
    lambda m, nats: m['kl'] > nats,
    'the KL to the reference is above {threshold} nats per token: lower the '
    'learning rate or raise beta',
  ),
  'latent_collapse': Alarm(
    lambda m, share: (
      m.get('hidden_ratio', 1.0) < share
      or m.get('latent_norm', 1.0) < share * m.get('embedding_norm', 0.0)
    ),
    'the share of latents in the inputs, or their norm over that of '
    'embeddings, is below {threshold}, so they have no effect: lower the '
    'learning rate of the feedback parameters',
  ),
  'gate_saturation': Alarm(
    lambda m, margin: m['hidden_ratio_margin'] < margin,
    'the gate is within {threshold} of 0 or 1, where its gradient vanishes: '
    'lower its learning rate or choose another feedback.init_kwargs',
  ),
}


def streaks(
  counts: Mapping[str, int], metrics: Metrics, thresholds: Mapping[str, float]
) -> dict[str, int]:
  """The number of steps in a row for which each alarm's condition has held;
  `counts` are those before this step. An alarm without a threshold, or with 0,
  is off."""
  return {
    name: (counts.get(name, 0) + 1) * _holds(name, metrics, thresholds[name])
    for name in ALARMS
    if thresholds.get(name)
  }


def _holds(name, metrics, threshold) -> bool:
  try:
    return ALARMS[name].holds(metrics, threshold)
  except KeyError:  # this trainer has no such metric
    return False
