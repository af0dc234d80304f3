"""The fields in which two configs differ, and those that may when resuming.

A field that another version of this code lacks has its default of today.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from flax.traverse_util import flatten_dict

from .named import Config
from .overrides import kind_of, load_config
from .renamed import renamed_config

# Fields, or all below one, that change no result of the following steps, except
# for the rounding of sums in another order.
FREE = (
  'max_steps',
  'eval',
  'checkpoint',
  'num_logged_completions',
  'trackers',
  'profile',
  'dump_every',
  'export',
  'generate',  # this and the next two: of tools
  'evaluate',
  'entropy',
  'grader',
  'mesh',
  'gradient_accumulation_steps',
  'logits_chunk',
  'model.remat',
  'model.attention',
  'data.test_split',
  'rollout.mesh',
  'rollout.logits_chunk',
  'rollout.cache_stages',
  'rollout.max_num_seqs',
  'rollout.buckets',
  'nonfinite',
  'alarms',
  'compilation_cache',  # of older versions
)
# The paths of the rows, which are compared by their digest.
PLACES = (
  'data.path',
  'data.train_split',
  'data.step_entropy_dir',
  'data.sft_answers_dir',
  'rollout.rollout_dir',
)
# Below these, users choose the names: a missing field is a difference.
_OWN = '.rewards.', '.groups.', '.kwargs.', '.init_kwargs.'
_log = logging.getLogger(__name__)


def flat(config: Config | dict[str, Any]) -> dict[str, Any]:
  """The fields of a config by their dotted names, as JSON has them."""
  if not isinstance(config, dict):
    config = json.loads(config.to_json_best_effort())
  fields: Any = flatten_dict(config, sep='.')
  return {f'config.{name}': value for name, value in fields.items()}


def differences(
  old: Mapping[str, Any],
  new: Mapping[str, Any],
  config: Config,
  free: Sequence[str] = (),
) -> list[str]:
  """One line per field that differs and is not `free`. A field that `old` lacks
  has the default of this kind of config."""
  defaults = flat(load_config(kind_of(config)))

  def differs(name: str) -> bool:
    if any(f'{name}.'.startswith(f'config.{field}.') for field in free):
      return False
    if name not in new:  # a field that this version no longer has
      return any(own in name for own in _OWN)
    return old.get(name, defaults.get(name)) != new[name]

  return [
    f'  {name}: {old.get(name)!r} then, {new.get(name)!r} now'
    for name in sorted(old.keys() | new.keys())
    if differs(name)
  ]


def warn_of_schedule(notes: Mapping[str, Any], config: Config) -> None:
  """Warns where a run resumes with another length, over which its learning
  rates are scheduled."""
  steps = renamed_config(json.loads(notes['config'])).get('max_steps')
  schedule = config.get('optimizer', {}).get('schedule')
  if steps != config.max_steps and schedule == 'cosine':
    _log.warning(
      'config.max_steps is %s and was %s: learning rates continue as in a run '
      'of %s steps, over which config.optimizer.schedule=cosine stretches',
      config.max_steps,
      steps,
      config.max_steps,
    )
