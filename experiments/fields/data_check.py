"""What a run reads, looked at before it has loaded anything."""

import logging
from collections.abc import Sequence
from pathlib import Path

from ..training.functions import Config, named
from ..training.prompts import problems_of
from .reward_check import check_columns, warn_of_marks

_log = logging.getLogger(__name__)


def check_data(config: Config) -> None:
  """Reads all that a run trains and is evaluated on, which refuses what is
  wrong with it before a model is loaded."""
  data = config.data
  if (
    config.max_steps
    and not data.get('step_entropy_dir')
    and not data.get('sft_answers_dir')
  ):
    rows = problems_of(data)(split=data.train_split)
    learnt = config.get('curriculum', {}).get('function')
    if learnt and learnt != 'cot:worked_solutions':  # that needs none
      _check_solutions(rows)
    if 'advantage' in config:  # rewards are what it learns by
      check_columns(config, rows[0])
      warn_of_marks(config, rows[0])
  if not config.eval.num_prompts:
    return
  if not trains_on_all(config):
    rows = problems_of(data)(split=data.test_split)
    check_columns(config, rows[0])
    if _is_one_file(config):
      _log.warning(
        'data.test_split: the evaluation reads all %d rows of %s, the one '
        'file there '
        'is; where the model is trained on them write data.test_split=FILE',
        len(rows),
        data.path,
      )
    return
  _log.warning(
    'no evaluation: %s has rows for training alone; write '
    'data.test_split=FILE to '
    'evaluate, or eval.num_prompts=0',
    data.path,
  )


def _check_solutions(rows: Sequence[dict]) -> None:
  """ValueError for a row that has nothing to learn from."""
  worked = named('steps:split_solution', 'hybrid_latent.curricula')
  for number, row in enumerate(rows, 1):
    if row.get('solution') is None:  # a text is one, however it is split
      try:
        worked(row)
      except ValueError as error:
        raise ValueError(f'row {number}: {error}') from error


def _is_one_file(config: Config) -> bool:
  """Whether one file, not called as the test split is, has all rows."""
  data = config.data
  alone = named('jsonl:is_training_alone', 'hybrid_latent.data')
  return (
    data.function == 'jsonl:problems'
    and Path(data.path).expanduser().is_file()
    and Path(data.path).stem != data.test_split
    and alone(data.path, data.test_split)
  )


def trains_on_all(config: Config) -> bool:
  """Whether `data.path` has nothing but training rows, so that there is no
  evaluation. Never where one is what the run is for."""
  data = config.data
  if not config.max_steps or config.checkpoint.best or not data.get('path'):
    return False
  alone = named('jsonl:is_training_alone', 'hybrid_latent.data')
  return data.function == 'jsonl:problems' and alone(data.path, data.test_split)
