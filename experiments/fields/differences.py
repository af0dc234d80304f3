"""Which fields of two configs differ, and which may where a run goes on.

A field that the other version of this code does not have counts with the
default that it has here.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flax.traverse_util import flatten_dict

from ..training.functions import Config
from .overrides import kind_of, load_model

# Fields, or all below one, that change no number of the steps that follow, but
# by the rounding of sums in another order.
FREE = (
  *(
    'max_steps',
    'eval',
    'checkpoint',
    'num_logged_completions',
    'dump_every',
    'export',
  ),
  *('generate', 'evaluate', 'entropy'),  # of tools
  *(
    'grader',
    'mesh',
    'gradient_accumulation_steps',
    'logits_chunk',
    'model.remat',
    'data.test_split',
  ),
  *(
    'rollout.mesh',
    'rollout.logits_chunk',
    'rollout.cache_stages',
    'rollout.buckets',
  ),
  *('nonfinite', 'alarms', 'compilation_cache'),  # what is done about steps
)
# Where the rows lie: their digest says what they are.
PLACES = ('data.path', 'data.train_split', 'data.step_entropy_dir',
          'data.sft_answers_dir',
          'rollout.rollout_dir')  # fmt: skip
# Below these, names are the user's, and a field that is gone is a change.
_OWN = '.rewards.', '.groups.', '.kwargs.', '.init_kwargs.'


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
  """A line for each field that differs and is not `free`. One that `old` does
  not have counts with the default of the kind of config that this is."""
  defaults = flat(load_model(kind_of(config)))

  def differs(name: str) -> bool:
    if any(f'{name}.'.startswith(f'config.{some}.') for some in free):
      return False
    if name not in new:  # may be one that this version no longer has
      return any(own in name for own in _OWN)
    return old.get(name, defaults.get(name)) != new[name]

  return [
    f'  {name}: {old.get(name)!r} then, {new.get(name)!r} now'
    for name in sorted(old.keys() | new.keys())
    if differs(name)
  ]
