"""The options of an evaluation that names runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..configs import rl
from ..fields.overrides import joined
from ..report.run_folders import find_runs, run_info

# The fields that the config of a run sets, and of them those that it does not.
_OF_RUN = (*('model.', 'lora.', 'feedback.', 'rollout.'),
           *('data.system_prompt.', 'data.prompt_template.'),
           *('data.prefill.', 'data.enable_thinking.'))  # fmt: skip
_OF_BATCH = 'rollout.prompts_per_step', 'rollout.num_generations'


def options_of_runs(flags: argparse.Namespace) -> Sequence[str]:
  """The options that make the models of `flags.runs` the ones to evaluate.
  Where it has no --config, the first run with rewards gives it, and each run
  its prompts and limits. ValueError where no run has checkpoints, and for an
  option that those of the runs would replace."""
  runs = find_runs(flags.runs)
  without = [x for x in runs.values() if not (Path(x) / 'checkpoints').is_dir()]
  runs = {name: x for name, x in runs.items() if x not in without}
  if not runs:
    raise ValueError(
      f'--runs={" ".join(flags.runs)}: no run there has checkpoints: write the '
      '--workdir of a run of grpo, sft or lrt'
    )
  if without:
    print(
      f'--runs: {", ".join(without)} left out: no checkpoints', file=sys.stderr
    )
  # Labels of a sweep have '='.
  named = ((name.replace('=', ':'), run) for name, run in runs.items())
  fields: dict[str, Any] = {'models': tuple(map('='.join, named))}
  if not flags.config:
    flags.config = f'saved:{_with_rewards(runs.values())}/config.json'
    for option in joined(flags.overrides):
      field = option.partition('=')[0].removeprefix('--config.')
      if f'{field}.'.startswith(_OF_RUN) and field not in _OF_BATCH:
        raise ValueError(
          f'{option}: with --runs each run has its own {field}: write '
          f'--config={flags.config} too, for the same prompts and limits for '
          'all runs'
        )
    # An evaluation's own, whatever the run was started with.
    config: Any = rl.defaults('')
    defaults = config.evaluate.to_dict()
    fields = defaults | fields | {'base': False, 'as_trained': True}
  return [
    f'--config.evaluate.{name}={x if isinstance(x, str) else repr(x)}'
    for name, x in fields.items()
  ]


def _with_rewards(runs) -> str:
  """The first run whose config is one of experiments.evaluate."""
  runs = [*runs]
  found = [run for run in runs if 'evaluate' in run_info(run)['config']]
  return (found or runs)[0]
