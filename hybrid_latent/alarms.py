"""Signs that a training run goes wrong, read from the metrics of its steps.

An alarm is on when its condition has held for `window` steps in a row. The
state is one count per alarm, small enough for the notes of a checkpoint.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

Metrics = Mapping[str, float]


class Alarm(NamedTuple):
  """A condition on the metrics of a step and a threshold. Where a metric is
  absent the condition does not hold."""

  holds: Callable[[Metrics, float], bool]
  text: str  # what it means, with {threshold}


ALARMS = {
  'flat_groups': Alarm(
    lambda m, share: m['frac_reward_zero_std'] >= share,
    'a share of at least {threshold} of the groups has completions of equal '
    'reward, from which nothing is learned: where all are 0, see in '
    'completions.jsonl whether answers have the form that the reward reads, '
    'such as #### 22 or \\boxed{{22}}; else choose prompts of another '
    'difficulty, another reward or a larger rollout.num_generations',
  ),
  'entropy_collapse': Alarm(
    lambda m, nats: m['entropy'] < nats,
    'the entropy is below {threshold} nats per token, so nothing is explored: '
    'lower the learning rate or write objective.kwargs.entropy_coef',
  ),
  'length_explosion': Alarm(
    lambda m, share: (
      m['completions/clipped_ratio'] >= share
      or m['completions/mean_length'] >= share * m['max_tokens']
    ),
    'completions are cut, or as long as {threshold} of '
    'rollout.max_completion_length on '
    'average: raise rollout.max_completion_length or reward shorter '
    'completions',
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
    'embeddings, is below {threshold}, so they no longer matter: lower the '
    'learning rate of the feedback parameters',
  ),
  'gate_saturation': Alarm(
    lambda m, margin: m['hidden_ratio_margin'] < margin,
    'the gate mixes within {threshold} of 0 or 1, where it hardly learns: '
    'lower its learning rate or choose another feedback.init_kwargs',
  ),
}


def streaks(
  counts: Mapping[str, int], metrics: Metrics, thresholds: Mapping[str, float]
) -> dict[str, int]:
  """For how many steps in a row each alarm's condition has held; `counts` is
  that before this step. An alarm without a threshold, or with 0, is off."""
  return {
    name: (counts.get(name, 0) + 1) * _holds(name, metrics, thresholds[name])
    for name in ALARMS
    if thresholds.get(name)
  }


def explained(name: str, threshold: float) -> str:
  """What an alarm means and what may help."""
  return f'alarm {name}: {ALARMS[name].text.format(threshold=threshold)}'


def _holds(name, metrics, threshold) -> bool:
  try:
    return ALARMS[name].holds(metrics, threshold)
  except KeyError:  # this trainer has no such metric
    return False
