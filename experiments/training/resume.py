"""Checks that a resumed run has its config and its training rows, which are
compared by a digest of their content and order, not by their path."""

import hashlib
import json
from pathlib import Path
from typing import Any

from hybrid_latent.data.digest import digest

from ..fields.differences import FREE, PLACES, differences, flat
from ..fields.named import problems_of
from ..fields.renamed import renamed_config
from .cli import Config, named


def identity(config: Config, trainer: str) -> dict[str, Any]:
  """The notes of a checkpoint about its run, for `validate_resume`."""
  return {
    'config': config.to_json(),
    'trainer': trainer,
    'rows': rows_digest(config),
  }


def validate_resume(
  notes: dict, config: Config, workdir: str, rows: str | None = None
) -> dict:
  """A checkpoint's notes, if its run is that of `config`. ValueError with the
  fields that differ. `rows` is the `rows_digest`, where it is known."""
  try:
    old = flat(renamed_config(json.loads(notes['config'])))
    new = flat(config)
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise ValueError(
      f'the notes of the checkpoint in {workdir} are not those of a run '
      f'({type(error).__name__}: {error}): choose another --workdir'
    ) from error
  # Checkpoints of older versions have no digest.
  then = notes.get('rows') if config.max_steps else ''
  wrong = differences(old, new, config, (*FREE, *PLACES) if then else FREE)
  if then and then != (now := rows or rows_digest(config)):
    fields = [f'config.{name}' for name in PLACES]
    paths = ', '.join(f'{x}={new[x]!r}' for x in fields if new.get(x))
    wrong.append(
      f'  the rows of {paths}: SHA-256 {then[:12]} then, {now[:12]} now'
    )
  if wrong:
    raise ValueError(
      f'{workdir} holds a run of another configuration:\n'
      + '\n'.join(wrong)
      + '\nWrite these as they were to resume, or choose another --workdir.'
    )
  return notes


def rows_digest(config: Config) -> str:
  """The digest of the rows that a trainer of this config reads, in their order;
  '' where it trains no step."""
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
  result = digest(rows)
  if source:
    for file in sorted(Path(source).glob('*-0.safetensors')):
      with file.open('rb') as stream:
        result += hashlib.file_digest(stream, 'sha256').hexdigest()
    result = hashlib.sha256(result.encode()).hexdigest()
  return result
