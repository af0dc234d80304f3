"""What a run reads, looked at before it has loaded anything."""

import logging
from collections.abc import Sequence

from experiments.command import Config, named
from experiments.policies import problems_of


def check_data(config: Config) -> None:
  """Reads all that a run trains and is evaluated on, which refuses what is
  wrong with it before a model is loaded."""
  data = config.data
  if config.steps and not data.get('scored') and not data.get('triples'):
    rows = problems_of(data)(split=data.train)
    learnt = config.get('curriculum', {}).get('function')
    if learnt and learnt != 'worked:worked_solutions':  # that needs none
      _check_solutions(rows)
  if not config.eval.prompts:
    return
  if not trains_on_all(config):
    problems_of(data)(split=data.test)
    return
  logging.getLogger(__name__).warning(
    'no evaluation: %s has rows for training alone; write data.test=FILE to '
    'evaluate, or eval.prompts=0',
    data.path,
  )


def _check_solutions(rows: Sequence[dict]) -> None:
  """ValueError for a row that has nothing to learn from."""
  worked = named('steps:worked', 'hybrid_latent.curricula')
  for number, row in enumerate(rows, 1):
    if row.get('solution') is None:  # a text is one, however it is split
      try:
        worked(row)
      except ValueError as error:
        raise ValueError(f'row {number}: {error}') from error


def trains_on_all(config: Config) -> bool:
  """Whether `data.path` has nothing but training rows, so that there is no
  evaluation. Never where one is what the run is for."""
  data = config.data
  if not config.steps or config.checkpoint.best or not data.get('path'):
    return False
  alone = named('jsonl:is_training_alone', 'hybrid_latent.data')
  return data.source == 'jsonl:problems' and alone(data.path, data.test)
