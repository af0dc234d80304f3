"""The command to run next, quoted for a shell."""

import argparse
import shlex
import sys
from pathlib import Path

from .. import PACKAGE
from ..fields.overrides import joined
from .cli import resolved

_KEPT = '--config.data.', '--config.model.', '--config.mesh.'


def next_command(
  tool: str, trainer: str, *options: str, stage: str | None = None
) -> str:
  """The command that trains on the output of `tool`, with its config, data and
  model, and a --workdir to be chosen.

  Args:
    tool: the command of this process; returns '' where it is another one.
    trainer: the next command.
    options: those to add.
    stage: replaces the last word of the config's argument.

  Returns '' also where the config does not accept the options.
  """
  parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  parser.add_argument('--config')
  known, rest = parser.parse_known_args(sys.argv[1:])
  if Path(sys.argv[0]).stem != tool or not known.config:
    return ''
  config, new = known.config, {option.partition('=')[0] for option in options}
  if stage:
    config = f'{config.rpartition(",")[0]},{stage}'
  kept = [
    x
    for x in joined(rest)
    if x.startswith(_KEPT) and x.split('=')[0] not in new
  ]
  try:
    resolved(config, [*kept, *options])
  except ValueError:
    return ''
  words = [f'--workdir=runs/{trainer}', f'--config={config}', *kept, *options]
  return shlex.join(['python', '-m', f'{PACKAGE}.{trainer}', *words])
