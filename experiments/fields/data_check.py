"""Checks the data of a run before a model is loaded."""

import logging
from collections.abc import Sequence
from pathlib import Path

from .eval_datasets import eval_datasets
from .named import Config, named, problems_of
from .reward_check import check_columns, warn_of_marks

_log = logging.getLogger(__name__)


def check_data(config: Config) -> None:
  """Reads the training and evaluation rows of a run. ValueError for what is
  wrong with them."""
  data = config.data
  if (
    config.max_steps
    and not data.get('step_entropy_dir')
    and not data.get('sft_answers_dir')
  ):
    rows = problems_of(data)(split=data.train_split)
    curriculum = config.get('curriculum', {}).get('function')
    if curriculum and curriculum != 'cot:worked_solutions':  # needs no steps
      _check_solutions(rows)
    if 'advantage' in config:  # trained on rewards
      check_columns(config, rows[0])
      warn_of_marks(config, rows[0])
  if not config.eval.num_prompts:
    return
  found = eval_datasets(config)
  if not found:
    _log.warning(
      'no evaluation: %s has training rows alone; write data.test_split=FILE '
      'to evaluate, or eval.num_prompts=0',
      data.path,
    )
  if '' in found:
    rows = problems_of(data)(split=data.test_split)
    check_columns(config, rows[0])
    if _is_one_file(config):
      _log.warning(
        'data.test_split: the evaluation reads all %d rows of %s, the only '
        'file; where the model is trained on them write data.test_split=FILE',
        len(rows),
        data.path,
      )


def _check_solutions(rows: Sequence[dict]) -> None:
  """ValueError for a row without a worked solution."""
  split = named('steps:split_solution', 'hybrid_latent.curricula')
  for number, row in enumerate(rows, 1):
    if row.get('solution') is None:  # any text can be split
      try:
        split(row)
      except ValueError as error:
        raise ValueError(f'row {number}: {error}') from error


def _is_one_file(config: Config) -> bool:
  """Whether one file, without the name of the test split, has all rows."""
  data = config.data
  alone = named('jsonl:is_training_alone', 'hybrid_latent.data')
  return (
    data.function == 'jsonl:problems'
    and Path(data.path).expanduser().is_file()
    and Path(data.path).stem != data.test_split
    and alone(data.path, data.test_split)
  )
