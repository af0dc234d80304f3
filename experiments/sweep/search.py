"""Cells that Optuna chooses, by the metric of earlier ones."""

import math
from collections.abc import Iterator
from pathlib import Path

from ..report.tables import read_rows
from .executors import import_extra
from .grammar import parse_grid
from .grid import Cell, Point


class Search:
  """Trials of Optuna, stored in WORKDIR/search.jsonl. A trial that has not
  finished stays open, and a resumed sweep runs it first."""

  def __init__(self, text: str, workdir: Path, metric: str, minimize: bool):
    self._optuna = import_extra('optuna')
    self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
    self._space = space(text)
    self._metric, self._numbers = metric, {}
    storages = self._optuna.storages
    workdir.mkdir(parents=True, exist_ok=True)
    journal = storages.journal.JournalFileBackend(str(workdir / 'search.jsonl'))
    self._study = self._optuna.create_study(
      storage=storages.JournalStorage(journal),
      study_name='sweep',
      direction='minimize' if minimize else 'maximize',
      load_if_exists=True,
    )
    # The first trials are random: a new seed, or the old points come again.
    seed = len(self._study.get_trials(deepcopy=False))
    self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)

  def points(self, count: int) -> Iterator[tuple[int, Point]]:
    """Yields the number and the values of each trial, old ones first."""
    for trial in self._study.get_trials():
      yield trial.number, _point(trial.params)
    for _ in range(count - len(self._study.get_trials(deepcopy=False))):
      trial = self._study.ask(self._space)
      yield trial.number, _point(trial.params)

  def report(self, number: int, cell: Cell) -> None:
    """Reports the last value of the metric of a finished trial."""
    rows = read_rows(cell.run, 'metrics')
    values = [row[self._metric] for row in rows if self._metric in row]
    if not values:
      known = sorted({name for row in rows for name in row})
      raise ValueError(f'--metric={self._metric}: {cell.run} has {known}')
    last = math.nan if values[-1] is None else values[-1]
    if math.isnan(last):  # Optuna accepts no NaN
      self._study.tell(
        number, state=self._optuna.trial.TrialState.FAIL, skip_if_finished=True
      )
    else:
      self._study.tell(number, last, skip_if_finished=True)


def space(text: str) -> dict:
  """Field -> its distribution, from 'field=LOW..HIGH[:log or :STEP];
  field=a,b'. Two whole numbers mean a range of whole numbers."""
  of = import_extra('optuna').distributions
  found = {}
  for field, values in parse_grid('--search', text).items():
    low, dots, right = values[0].partition('..')
    if not dots:
      found[field] = of.CategoricalDistribution(values)
      continue
    high, _, how = right.partition(':')
    try:
      ends = [float(low), float(high)]
      step = None if how in ('', 'log') else float(how)
      log = how == 'log'
      if all(map(_is_whole, (low, high, *([how] if step else ())))):
        found[field] = of.IntDistribution(
          *map(int, ends), log=log, step=int(step or 1)
        )
      else:
        found[field] = of.FloatDistribution(*ends, log=log, step=step)
    except ValueError as error:
      raise ValueError(
        f'--search: {field}={values[0]}: write LOW..HIGH, LOW..HIGH:log or '
        f'LOW..HIGH:STEP ({error})'
      ) from error
  return found


def _is_whole(text: str) -> bool:
  return text.lstrip('-').isdigit()


def _point(params: dict) -> Point:
  return {field: str(value) for field, value in params.items()}
