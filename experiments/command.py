"""The command lines: options are read, and refused, before anything is loaded.

A command reads its options at the top of its file, under `if __name__ ==
'__main__'` and before its other imports: `--help` and a mistake then take a
second. So this module, and what it imports, import nothing large.
"""

import argparse
import json
import platform
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from experiments.fields.accepted import Folder, expanded, parsed
from experiments.fields.check import check
from experiments.fields.help import configs_text, fields_text
from experiments.fields.overrides import loaded, resolved
from experiments.functions import Config, configured, named

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
  'revision',
  'run',
  'value',
  'write_run',
]

# The config whose fields `--help` lists where no other is given.
_DEFAULTS = {'sft': 'sft', 'entropy': 'sft', 'lrt': 'lrt', 'evaluate': 'lrt'}


class Options(NamedTuple):
  """What a command line says."""

  config: Config
  flags: argparse.Namespace  # all other options


class Parser(argparse.ArgumentParser):
  """Options of `python -m experiments.COMMAND`. A mistake is one line and exit
  code 2."""

  def __init__(self, command: str, about: str | None):
    super().__init__(
      prog=f'python -m experiments.{command}',
      description=about,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
    )
    self.command = command
    self.add_argument(
      '--debug', action='store_true', help='show where an error comes from'
    )

  def error(self, message: str) -> NoReturn:
    """Ends the command."""
    _refuse(message)


def config_parser(
  command: str, about: str | None, workdir: bool = True
) -> Parser:
  """Options of a command that has a config, and a workdir if it writes one."""
  parser = Parser(command, about)
  parser.add_argument(
    '--config',
    required=True,
    metavar='FILE.py[:ARGUMENT]',
    help='a config file, or the name of one below',
  )
  parser.add_argument(
    '--config.FIELD',
    metavar='VALUE',
    help='of a field below, any number of times',
  )
  if workdir:
    parser.add_argument(
      '--workdir', required=True, type=value(Folder), help='folder to write'
    )
  return parser


def value(annotation: Any) -> Callable[[str], Any]:
  """Of an option that accepts what the annotation does: its `type`."""

  def read(text: str) -> Any:
    try:
      return expanded(annotation, parsed(annotation, text))
    except ValueError as error:
      raise argparse.ArgumentTypeError(f'{text!r}: {error}') from None

  return read


def parse(parser: Parser, argv: Sequence[str] | None = None) -> Options:
  """The options of a command that has a config, checked. Ends the command where
  they ask for help or are wrong."""
  argv = sys.argv[1:] if argv is None else argv
  with report_errors():
    if {'-h', '--help'} & {*argv}:
      print(f'{parser.format_help()}\n{_config_help(parser.command, argv)}')
      sys.exit()
    flags, overrides = parser.parse_known_args(argv)
    config = resolved(flags.config, overrides)
    check(config, getattr(flags, 'trainer', parser.command))
  return Options(config, flags)


@contextmanager
def report_errors() -> Iterator[None]:
  """Ends the command with one line and exit code 2 for what is refused: an
  error that somebody raised with a sentence, or one of the file system. Others
  are mistakes in the program, and keep their traceback; with `--debug` all do.
  """
  try:
    yield
  except (ImportError, OSError, ValueError) as error:
    *_, last = traceback.extract_tb(error.__traceback__)
    raised = isinstance(error, OSError) or (last.line or '').startswith('raise')
    if not raised or '--debug' in sys.argv:
      raise
    _refuse(str(error))


def run(
  train: Callable[[Config, str], object], options: Options | None = None
) -> None:
  """`train(config, workdir)` with the options of the command line, on all
  processes of a cluster (`cluster.join`). WORKDIR/config.json keeps what it
  takes to repeat the run. The exit code is cluster.RESTART where the same
  command should go on."""
  name = train.__module__.rpartition('.')[2]
  config, flags = options or parse(config_parser(name, train.__doc__))
  from absl import logging

  from hybrid_latent import cluster

  with report_errors():
    if cluster.expected():
      if not cluster.is_child():
        sys.exit(cluster.supervised(flags.workdir))
      cluster.join()
    logging.set_verbosity(logging.WARNING)  # Orbax tells every rename
    with cluster.ending_together(flags.workdir):
      write_run(config, flags.workdir)
      train(config, flags.workdir)


def write_run(config: Config, workdir: str) -> None:
  """Writes WORKDIR/config.json: the resolved config, the command, and what
  computed it."""
  import jax
  from etils import epath

  if jax.process_index():
    return
  packages = 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint'
  about = {
    'config': json.loads(config.to_json_best_effort()),
    'command': sys.argv,
    'revision': revision(),
    'python': platform.python_version(),
    'versions': {name: metadata.version(name) for name in packages},
    'devices': [str(jax.device_count()), jax.devices()[0].device_kind],
    'processes': jax.process_count(),
  }
  folder = epath.Path(workdir)
  folder.mkdir(parents=True, exist_ok=True)
  part = folder / 'config.json.part'
  part.write_text(json.dumps(about, indent=2))
  part.replace(folder / 'config.json')


def revision() -> str:
  """The git commit of this code, with '+' where it was edited since; its
  version where it is installed without git."""
  git = ['git', '-C', str(Path(__file__).parent)]
  ask = lambda *words: subprocess.run(
    [*git, *words], capture_output=True, text=True
  )
  head = ask('rev-parse', 'HEAD')
  if head.returncode:
    return metadata.version('hybrid-latent')
  edited = ask('status', '--porcelain', '--untracked-files=no').stdout
  return head.stdout.strip() + ('+' if edited else '')


def _config_help(command: str, argv: Sequence[str]) -> str:
  """Every config, and every field of one."""
  given = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  given.add_argument('--config', default=_DEFAULTS.get(command, 'rl'))
  path = given.parse_known_args(argv)[0].config
  return f'{configs_text()}\n\n{fields_text(path, loaded(path))}'


def _refuse(message: str) -> NoReturn:
  print(f'error: {message}', file=sys.stderr)
  sys.exit(2)
