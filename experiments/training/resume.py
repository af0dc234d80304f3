"""What has to be as it was where a run goes on: its configuration, and the rows
that it is trained on. These are compared by a digest of what they say and of
their order, wherever they lie."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from hybrid_latent.data.digest import digest

from ..fields.differences import FREE, PLACES, differences, flat
from ..fields.renamed import renamed_config
from .cli import Config, named
from .prompts import problems_of

_log = logging.getLogger(__name__)


def identity(config: Config, trainer: str) -> dict[str, Any]:
  """What the notes of a checkpoint say of its run, for `validate_resume`."""
  return {
    'config': config.to_json(),
    'trainer': trainer,
    'rows': rows_digest(config),
  }


def validate_resume(notes: dict, config: Config, workdir: str) -> dict:
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
  then = notes.get('rows') if config.max_steps else ''
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
  steps, how = old.get('config.max_steps'), config.get('optimizer', {})
  if steps != config.max_steps and how.get('schedule') == 'cosine':
    _log.warning(
      'config.max_steps is %s and was %s: the rates go on as those of a run '
      'of %s '
      'steps, over which config.optimizer.schedule=cosine stretches',
      config.max_steps,
      steps,
      config.max_steps,
    )
  return notes


def rows_digest(config: Config) -> str:
  """Of the rows that a trainer of this config reads, in their order; '' where
  it trains no step."""
  if not config.max_steps:
    return ''
  data, source = config.data, config.rollout.get('rollout_dir')
  jsonl = named('jsonl:problems', 'hybrid_latent.data')
  if data.get('step_entropy_dir'):
    rows = jsonl('steps', data.step_entropy_dir, 'train')
  elif data.get('sft_answers_dir'):
    rows = jsonl(data.sft_answers_task, data.sft_answers_dir, 'train')
  else:
    rows = problems_of(data)(split=data.train_split)
  found = digest(rows)
  if source:
    for file in sorted(Path(source).glob('*-0.safetensors')):
      with file.open('rb') as stream:
        found += hashlib.file_digest(stream, 'sha256').hexdigest()
    found = hashlib.sha256(found.encode()).hexdigest()
  return found
