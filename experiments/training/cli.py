"""The command lines: options are parsed and checked before anything is loaded.

A command parses its options at the top of its file, under `if __name__ ==
'__main__'` and before its other imports, so that `--help` and errors take a
second: this module and its imports are small.
"""

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from absl import logging

from .. import PACKAGE
from ..fields.accepted import Folder, described, expanded, parsed
from ..fields.check import check
from ..fields.help import configs_text, fields_text
from ..fields.named import Config, configured, named
from ..fields.overrides import load_config, resolved

__all__ = [
  'Config',
  'Options',
  'Parser',
  'config_parser',
  'configured',
  'named',
  'parse',
  'report_errors',
  'resolved',
  'run',
  'value',
]

# The config whose fields `--help` lists where no --config is given.
_DEFAULTS = {
  'sft': 'sft',
  'step_entropy': 'sft',
  'lrt': 'lrt',
  'evaluate': 'lrt',
}


class Options(NamedTuple):
  """The options of a command line."""

  config: Config
  flags: argparse.Namespace  # all other options


class Parser(argparse.ArgumentParser):
  """Options of `python -m PACKAGE.COMMAND`. An error is one line and exit code
  2."""

  def __init__(self, command: str, about: str | None):
    super().__init__(
      prog=f'python -m {PACKAGE}.{command}',
      description=(about or '').replace(' experiments.', f' {PACKAGE}.'),
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
    )
    self.command = command
    self.add_argument(
      '--debug', action='store_true', help='show the traceback of an error'
    )

  def error(self, message: str) -> NoReturn:
    """Ends the command with exit code 2."""
    _refuse(message)


def config_parser(
  command: str, about: str | None, workdir: bool = True, required: bool = True
) -> Parser:
  """Options of a command that has a config, `required` or not, and a workdir if
  it writes one."""
  parser = Parser(command, about)
  parser.add_argument(
    '--config',
    required=required,
    metavar='FILE.py[:ARGUMENT]',
    help='a config file, or the name of one below',
  )
  parser.add_argument(
    '--config.FIELD=VALUE',
    action='store_true',
    help='sets a field below, any number of times',
  )
  if workdir:
    parser.add_argument(
      '--workdir', required=True, type=value(Folder), help='folder to write'
    )
  return parser


def value(annotation: Any) -> Callable[[str], Any]:
  """The argparse `type` of an option with this annotation."""

  def parse_value(text: str) -> Any:
    try:
      result = expanded(annotation, parsed(annotation, text))
      if result == ():  # a config field may be empty, an option may not
        raise ValueError(f'write {described(annotation)}')
      return result
    except ValueError as error:
      raise argparse.ArgumentTypeError(f'{text!r}: {error}') from None

  return parse_value


def parse(
  parser: Parser,
  argv: Sequence[str] | None = None,
  completed: Callable[[argparse.Namespace], Sequence[str]] = lambda flags: (),
) -> Options:
  """The checked options of a command with a config. Ends the command after
  `--help`, and where they are wrong.

  Args:
    parser: of all options.
    argv: the words of the command line; None: those of the process.
    completed: checks the other options, sets a `--config` that is not required,
      and returns the options of config fields that precede those of the command
      line, `flags.overrides`.
  """
  argv = sys.argv[1:] if argv is None else argv
  with report_errors():
    if {'-h', '--help'} & {*argv}:
      print(f'{parser.format_help()}\n{_config_help(parser.command, argv)}')
      sys.exit()
    flags, overrides = parser.parse_known_args(argv)
    flags.overrides = overrides
    first = completed(flags)
    config = resolved(flags.config, [*first, *overrides])
    check(config, getattr(flags, 'trainer', parser.command))
  return Options(config, flags)


@contextmanager
def report_errors() -> Iterator[None]:
  """Ends the command with one line and exit code 2 after an error of the file
  system or of a `raise` statement. Others are bugs and keep their traceback;
  with `--debug` all do."""
  try:
    yield
  except (ImportError, OSError, ValueError) as error:
    # Raised by our own check, or inside a library by something unforeseen?
    *_, last = traceback.extract_tb(error.__traceback__)
    raised = isinstance(error, OSError) or (last.line or '').startswith('raise')
    if not raised or '--debug' in sys.argv:
      raise
    _refuse(str(error))


def run(
  train: Callable[[Config, str], object],
  options: Options | None = None,
  *,
  resumes: bool = True,
) -> None:
  """Calls `train(config, workdir)` with the options of the command line, on all
  processes of a cluster (processes.join), holding the lock of the workdir
  (workdir.opened). The exit code is cluster.RESTART where the same command is
  to be run again."""
  name = train.__module__.rpartition('.')[2]
  config, flags = options or parse(config_parser(name, train.__doc__))
  # Imported late: they take seconds, and the last one imports this module.
  processes, cache, workdir = map(
    importlib.import_module,
    (
      'hybrid_latent.processes',
      f'{PACKAGE}.training.compilation_cache',
      f'{PACKAGE}.training.workdir',
    ),
  )
  with report_errors():
    if processes.expected():
      if not processes.is_child():
        sys.exit(processes.supervised(flags.workdir))
      processes.join()
    logging.set_verbosity(logging.WARNING)  # Orbax logs every rename
    cache.keep_compiled()
    with (
      processes.ending_together(flags.workdir),
      workdir.opened(config, flags.workdir, resumes=resumes),
    ):
      train(config, flags.workdir)


def _config_help(command: str, argv: Sequence[str]) -> str:
  """All configs, and the fields of the one on the command line."""
  options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  options.add_argument('--config', default=_DEFAULTS.get(command, 'rl'))
  path = options.parse_known_args(argv)[0].config
  return f'{configs_text(command)}\n\n{fields_text(path, load_config(path))}'


def _refuse(message: str) -> NoReturn:
  print(f'error: {message}', file=sys.stderr)
  sys.exit(2)
