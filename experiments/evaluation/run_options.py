"""The options of an evaluation that names runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..configs import rl
from ..report.run_folders import find_runs, run_info


def options_of_runs(flags: argparse.Namespace) -> Sequence[str]:
  """The options that make the models of `flags.runs` the ones to evaluate.
  Where it has no --config, the first run with rewards gives it, and each run
  its prompts and limits. ValueError for a run without checkpoints."""
  runs = {
    name: folder
    for name, folder in find_runs(flags.runs).items()
    if (Path(folder) / 'checkpoints').is_dir()
  }
  if not runs:
    raise ValueError(
      f'--runs={" ".join(flags.runs)}: no run there has checkpoints: write the '
      '--workdir of a run of grpo, sft or lrt'
    )
  # Labels of a sweep have '='.
  named = ((name.replace('=', ':'), run) for name, run in runs.items())
  fields: dict[str, Any] = {'models': tuple(map('='.join, named))}
  if not flags.config:
    flags.config = f'saved:{_with_rewards(runs.values())}/config.json'
    # An evaluation's own, whatever the run was started with.
    config: Any = rl.defaults('')
    defaults = config.evaluate.to_dict()
    fields = defaults | fields | {'base': False, 'as_trained': True}
  return [f'--config.evaluate.{name}={x!r}' for name, x in fields.items()]


def _with_rewards(runs) -> str:
  """The first run whose config is one of experiments.evaluate."""
  runs = [*runs]
  found = [run for run in runs if 'evaluate' in run_info(run)['config']]
  return (found or runs)[0]
