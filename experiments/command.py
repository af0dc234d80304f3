"""The command line of the trainers."""

from collections.abc import Callable
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

Config = Any  # a ConfigDict: its fields are those of the config file


def run(train: Callable[[Config, str], object]) -> None:
  """`train(config, workdir)` with `--config=FILE.py[:ARGUMENT]`, any number of
  `--config.field=value`, and `--workdir=FOLDER`."""
  config = config_flags.DEFINE_config_file('config', lock_config=True)
  workdir = flags.DEFINE_string('workdir', None, 'Folder of the run.')
  flags.mark_flags_as_required(['config', 'workdir'])

  def main(argv):
    if argv[1:]:
      raise app.UsageError(f'{argv[1:]}: options begin with --')
    logging.set_verbosity(logging.WARNING)  # Orbax tells every rename
    train(config.value, str(workdir.value))

  app.run(main)
