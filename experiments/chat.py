r"""Asks a model in the terminal, and shows its latents as they happen.

    python -m experiments.chat --model=smollm2-135m
    python -m experiments.chat --config=hrpo_gsm8k:smollm2-135m
    python -m experiments.chat --workdir=runs/hrpo --step=best

The model is that of a config, or the one that a run of a trainer has trained;
without a config it writes words at temperature 0.7. An answer appears token by
token. Where the model reads a latent instead of the token, the brackets list
the tokens that the latent is near, with their shares: the largest weights of a
mixture, the logit lens of a hidden state. A terminal shows the share of the
latent as a colour, unless NO_COLOR is set. A line per answer counts its tokens,
latents, switches (runs of latents) and seconds, without compilation.

A question is a line; /help lists the commands, among them /words, /latents and
/none: a chain of thought, latents, or no thinking. The conversation goes on in
the model's chat template; the oldest exchanges are left out where it is longer
than --context. Ctrl-C stops an answer; once more, or Ctrl-D, ends the program.

Reads questions from a pipe, too: answers go to the standard output, all else to
the standard error, and the exit code is 1 where a line could not be answered.
"""

import argparse
from collections.abc import Sequence

from hybrid_latent.ranges import PositiveInt

from .fields.accepted import Folder, Text
from .training import cli


def _parser() -> cli.Parser:
  parser = cli.config_parser('chat', __doc__, workdir=False, required=False)
  add = parser.add_argument
  about = 'a preset, GGUF file, Hugging Face folder or name on its hub'
  add('--model', type=cli.value(Text), help=about)
  add('--workdir', type=cli.value(Folder), help='of a run of a trainer')
  add('--step', default='latest', help='of the run: a number, or best')
  add(
    '--context',
    type=cli.value(PositiveInt),
    default=1024,
    help='tokens of prompt and answer together (default: 1024), at most the '
    'positions of the model',
  )
  return parser


def _options_of_model(flags: argparse.Namespace) -> Sequence[str]:
  """Completes --config; the options of fields that come with it."""
  given = [x for x in ('model', 'config', 'workdir') if getattr(flags, x)]
  if len(given) != 1:
    raise ValueError(
      f'{" and ".join(f"--{x}" for x in given) or "no model"}: write one of '
      '--model, --config=CONFIG:MODEL and --workdir'
    )
  if flags.workdir:
    flags.config = f'saved:{flags.workdir}/config.json'
  if flags.model:
    flags.config = f'rl:{flags.model}'
    return ['--config.rollout.sampling.temperature=0.7']
  return ()


if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(_parser(), completed=_options_of_model)

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import TextIOWrapper
from time import perf_counter

from absl import logging

from .conversation.chat_model import NUM_NEAR, ChatModel, Options
from .conversation.terminal import Terminal, summary
from .serving.loading import is_unicode
from .training.compilation_cache import keep_compiled
from .training.trained_run import open_run

HELP = """\
/words, /latents, /none  think in words, in latents, or not at all; with a
                         question after it, for that question alone
/near N                  list the N nearest tokens of a latent; 0: none
/system TEXT             the system prompt; without TEXT, none
/temperature X           up to 100; 0 is greedy
/tokens N                tokens of an answer, at most
/seed N                  seed of the answers from here on
/again                   another answer to the last question
/reset                   forget the conversation
/quit                    or Ctrl-D"""


class Chat:
  """A conversation.

  Args:
    model: that answers.
    options: of the first answer.
    terminal: to write on.
  """

  def __init__(self, model: ChatModel, options: Options, terminal: Terminal):
    self._model, self._terminal = model, terminal
    self.options = options
    self.history: list[tuple[str, str]] = []
    self._answers = 0  # since the seed was set

  def handle(self, line: str) -> bool:
    """Does what a line says; False where it ends the conversation. ValueError
    for a line that says nothing of the kind."""
    line = line.strip()
    command, _, rest = line.partition(' ')
    rest, before = rest.strip(), self.options
    if not line:
      return True
    if rest and command in ('/again', '/reset', '/help', '/quit'):
      raise ValueError(f'{line}: write {command}, and nothing after it')
    if not line.startswith('/'):
      self.ask(line, self.options)
    elif command[1:] in ('words', 'latents', 'none'):
      options = self._set(mode=self._mode(command[1:]))
      if rest:
        self.ask(rest, options)
      else:
        self.options = options
    elif command == '/again':
      if not self.history:
        raise ValueError('/again: there is no question yet')
      question, _ = self.history.pop()
      self.ask(question, self.options)
    elif command == '/reset':
      self.history = []
    elif command == '/system':
      self.options = self._set(system=rest)
    elif command == '/temperature':
      self.options = self._set(temperature=_number(line, rest, float, 0, 100))
    elif command == '/tokens':
      most = self._model.context // 2
      self.options = self._set(max_tokens=_number(line, rest, int, 1, most))
    elif command == '/seed':
      self.options = self._set(seed=_number(line, rest, int, 0, 2**31 - 1))
      self._answers = 0
    elif command == '/near':
      self._terminal.num_near = _number(line, rest, int, 0, NUM_NEAR)
    elif command == '/help':
      self._terminal.notice(HELP)
    elif command == '/quit':
      return False
    else:
      raise ValueError(f'{command}: /help lists the commands')
    if self.options != before:
      values = self.options._asdict().items()
      self._terminal.notice(', '.join(f'{name}: {x}' for name, x in values))
    return True

  def ask(self, question: str, options: Options) -> None:
    """Writes the answer to a question, and remembers both."""
    model, terminal = self._model, self._terminal
    prompt, dropped = model.prompt(self.history, question, options)
    if dropped:
      terminal.notice(f'the {dropped} oldest exchanges no longer fit: left out')
      self.history = self.history[dropped:]
    if not model.is_compiled(prompt, options):
      terminal.notice('compiling ...')
      model.compile(prompt, options)
    self._answers += 1
    tokens, shares, start = [], [], perf_counter()
    steps = model.answer(prompt, options, self._answers)
    with closing(steps), interruptible() as stopped:
      for step in steps:
        terminal.write_step(step)
        shares.append(step.latent_share)
        if step.token is not None:
          tokens.append(step.token)
        if stopped:
          break
    terminal.end_answer()
    terminal.notice(summary(len(tokens), shares, perf_counter() - start))
    self.history.append((question, model.text(tokens)))

  def _mode(self, mode: str) -> str:
    if mode not in self._model.modes:
      raise ValueError(
        f'/{mode}: the feedback of this model has no latents: write a --config '
        'that has, such as hrpo_gsm8k:MODEL'
      )
    return mode

  def _set(self, **changes) -> Options:
    return self.options._replace(**changes)


@contextmanager
def interruptible() -> Iterator[list[bool]]:
  """A list that has an entry once Ctrl-C was pressed; a second time it ends the
  program."""
  stopped: list[bool] = []

  def stop(number, frame):
    if stopped:
      sys.exit(130)
    stopped.append(True)

  before = signal.signal(signal.SIGINT, stop)
  try:
    yield stopped
  finally:
    signal.signal(signal.SIGINT, before)


def converse(chat: Chat, terminal: Terminal) -> int:
  """Reads lines to the end of the input. Returns the exit code."""
  is_interactive, code, warned = sys.stdin.isatty(), 0, False
  number = 0
  if isinstance(sys.stdin, TextIOWrapper):  # a bad byte is to spoil one line
    sys.stdin.reconfigure(errors='surrogateescape')
  if is_interactive:
    with suppress(ImportError):
      import readline  # noqa: F401 - edits the lines of input()
    terminal.notice('/help lists the commands')
  while True:
    number += 1
    try:
      line = input('> ' if is_interactive else '')
      warned = False
      if not is_unicode(line):
        raise ValueError(f'line {number} is {line!r:.80}: write it in UTF-8')
      if not chat.handle(line):
        return code
    except EOFError:
      return code
    except ValueError as error:
      terminal.notice(f'error: {error}')
      code = 0 if is_interactive else 1
    except KeyboardInterrupt:
      terminal.notice('')
      if warned or not is_interactive:
        return 130
      terminal.notice('Ctrl-C once more ends the program')
      warned = True


def _number(line: str, text: str, kind, least, most=None):
  """The number of a command."""
  accepted = f'a number from {least}' + (f' to {most}' if most else '')
  try:
    number = kind(text)
  except ValueError:
    number = None
  if number is None or not least <= number <= (most or number):
    raise ValueError(f'{line}: write {accepted}')
  return number


@cli.report_errors()
def main(argv: Sequence[str] | None = None) -> int:
  """The command; see the top of this file."""
  options = cli.parse(_parser(), argv, _options_of_model)
  config, flags = options
  logging.set_verbosity(logging.WARNING)
  keep_compiled()
  run = open_run(flags.workdir, flags.step) if flags.workdir else None
  try:
    model = ChatModel(config, run, flags.context)
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return 130
  plain = not sys.stdout.isatty() or os.environ.get('NO_COLOR')
  terminal = Terminal(
    model,
    sys.stdout,
    sys.stdout if sys.stdin.isatty() else sys.stderr,
    colour=not plain,
  )
  sampling = config.rollout.sampling
  chat = Chat(
    model,
    Options(
      mode=model.modes[0],
      system=config.data.system_prompt,
      temperature=0.0 if sampling.greedy else sampling.temperature,
      max_tokens=min(config.rollout.max_completion_length, model.context // 2),
      seed=config.seed,
    ),
    terminal,
  )
  return converse(chat, terminal)


if __name__ == '__main__':
  sys.exit(main())
