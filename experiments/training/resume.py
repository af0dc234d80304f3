"""What has to be as it was where a run goes on: its configuration, and the rows
that it is trained on.

The rows are compared by a digest of what they say and of their order, wherever
they lie. A field that the other version of this code does not have counts with
the default that it has here.
"""

import hashlib
import importlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict

from hybrid_latent.data.digest import digest

from .. import PACKAGE
from ..fields.renamed import renamed_config
from .cli import Config, named
from .prompts import problems_of

# Fields, or all below one, that change no number of the steps that follow, but
# by the rounding of sums in another order.
FREE = (
  *('steps', 'eval', 'checkpoint', 'completions', 'dump_every', 'export'),
  *('generate', 'evaluate', 'entropy'),  # of tools
  *('grader', 'mesh', 'micro_batches', 'chunk', 'model.remat', 'data.test'),
  *('rollout.mesh', 'rollout.chunk', 'rollout.stages', 'rollout.buckets'),
  *('nonfinite', 'alarms', 'compilation_cache'),  # what is done about steps
)
# Where the rows lie: their digest says what they are.
PLACES = ('data.path', 'data.train', 'data.scored', 'data.triples',
          'rollout.source')  # fmt: skip
# Below these, names are the user's, and a field that is gone is a change.
_OWN = '.rewards.', '.groups.', '.of.', '.kwargs.', '.initial.'
_log = logging.getLogger(__name__)


def identity(config: Config, trainer: str) -> dict[str, Any]:
  """What the notes of a checkpoint say of its run, for `checked_resume`."""
  return {
    'config': config.to_json(),
    'trainer': trainer,
    'rows': rows_digest(config),
  }


def checked_resume(notes: dict, config: Config, workdir: str) -> dict:
  """A checkpoint's notes, if its run is the one that `config` describes.
  ValueError says what differs."""
  try:
    old = flat(renamed_config(json.loads(notes['config'])))
    new = flat(config)
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise ValueError(
      f'the notes of the checkpoint in {workdir} are not those of a run '
      f'({type(error).__name__}: {error}): choose another --workdir'
    ) from error
  # An older version has no digest.
  then = notes.get('rows') if config.steps else ''
  wrong = differences(old, new, config, (*FREE, *PLACES) if then else FREE)
  if then and then != (now := rows_digest(config)):
    places = [f'config.{name}' for name in PLACES]
    where = ', '.join(f'{x}={new[x]!r}' for x in places if new.get(x))
    wrong.append(
      f'  the rows of {where}: SHA-256 {then[:12]} then, {now[:12]} now'
    )
  if wrong:
    raise ValueError(
      f'{workdir} holds a run of another configuration:\n'
      + '\n'.join(wrong)
      + '\nWrite these as they were to resume it, or choose another --workdir.'
    )
  steps, how = old.get('config.steps'), config.get('optimizer', {})
  if steps != config.steps and how.get('schedule') == 'cosine':
    _log.warning(
      'config.steps is %s and was %s: the rates go on as those of a run of %s '
      'steps, over which config.optimizer.schedule=cosine stretches',
      config.steps,
      steps,
      config.steps,
    )
  return notes


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
  kind = 'sft' if 'curriculum' in config else 'rl'
  kind = 'lrt' if 'triples' in config.get('data', {}) else kind
  module = importlib.import_module(f'{PACKAGE}.configs.{kind}')
  defaults = flat(module.get_config())

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


def rows_digest(config: Config) -> str:
  """Of the rows that a trainer of this config reads, in their order; '' where
  it trains no step."""
  if not config.steps:
    return ''
  data, source = config.data, config.rollout.get('source')
  jsonl = named('jsonl:problems', 'hybrid_latent.data')
  if data.get('scored'):
    rows = jsonl('steps', data.scored, 'train')
  elif data.get('triples'):
    rows = jsonl(data.triples_task, data.triples, 'train')
  else:
    rows = problems_of(data)(split=data.train)
  found = digest(rows)
  if source:
    for file in sorted(Path(source).glob('*-0.safetensors')):
      with file.open('rb') as stream:
        found += hashlib.file_digest(stream, 'sha256').hexdigest()
    found = hashlib.sha256(found.encode()).hexdigest()
  return found
