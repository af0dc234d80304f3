"""The trainings and evaluations of a study's cells, each done once."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..evaluate import evaluate
from ..training.cli import Config
from .outcomes import rows_of
from .study import Row


def train_once(
  train: Callable[[Config, str], Any], config: Config, workdir: Path
) -> Path:
  """Trains a run to its last step, unless it is there, and returns its folder,
  whose `model` is that of a run of sft, or of grpo with config.export. Another
  process that trains it is waited for."""
  done = workdir / 'trained'
  workdir.mkdir(parents=True, exist_ok=True)
  with (workdir / 'training').open('w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    if not done.exists():
      print(f'  {workdir.name}', flush=True)
      train(config, str(workdir))
      done.touch()
  return workdir


def evaluate_once(config: Config, folder: Path, **labels: Any) -> list[Row]:
  """The rows (`outcomes.rows_of`) of an evaluation in `folder`, each with the
  labels."""
  print(f'  {folder.name}', flush=True)
  evaluate(config, str(folder))
  return [labels | row for row in rows_of(folder)]
