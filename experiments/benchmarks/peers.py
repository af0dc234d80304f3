r"""Steps of ours compared with those of TRL and google-tunix, at equal work.

    python -m experiments.benchmarks.peers --what=grpo
    python -m experiments.benchmarks.peers --what=decode --tokens=48 \
        --peer_python=path/to/venv/bin/python

grpo: a step of experiments.grpo and of TRL's GRPOTrainer, from the batch to the
log, all parameters. sft: one of experiments.sft and of TRL's SFTTrainer on
packed rows without padding. decode: a greedy rollout, prefill included, and one
of google-tunix's Sampler. All are in float32 on the same folder: SmolLM2-135M's
shape with random weights, whose completions do not end early; `tokens` are
those of the last step.

Each library runs in a process of its own, the peer's under --peer_python, and
only one of them at a time: --turn steps of ours, --turn of theirs, and so on.
Times are medians after --warmup steps, memory the peak of each process; both
stay in memory.
"""

import json
import random
import statistics
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from hybrid_latent.ranges import PositiveInt

from .. import PACKAGE
from ..fields.accepted import Text
from ..training import cli
from .options import add_out
from .records import report

TRL = (
  ('trl', 'datasets', 'torch'),
  'trl==1.16.0 transformers==5.23.0 datasets==5.2.0 torch==2.13.0',
)
# What the peer imports, and what pip installs.
NEEDS = {
  'grpo': TRL,
  'sft': TRL,
  'decode': (('tunix',), 'google-tunix==0.1.7'),
}
SIZES = {
  'prompts': (2, 'grpo: prompts per step'),
  'group': (4, 'grpo: completions per prompt'),
  'batch': (8, 'decode: rows'),
  'prompt': (128, 'grpo, decode: tokens per prompt'),
  'tokens': (32, 'grpo, decode: tokens per completion'),
  'rows': (2, 'sft: packed rows per step'),
  'length': (256, 'sft: tokens per row, of four documents'),
}
# The modules of the steps: ours, and a file for a python without this package.
OURS = f'from {PACKAGE}.benchmarks import own_steps as steps'
PEER = f"""
import runpy, types
path = {str(Path(__file__).with_name('peer_steps.py'))!r}
steps = types.SimpleNamespace(**runpy.run_path(path))"""


def _parser() -> cli.Parser:
  parser = cli.Parser('benchmarks.peers', __doc__)
  add, count = parser.add_argument, cli.value(PositiveInt)
  add('--what', choices=NEEDS, required=True, help='the step')
  add(
    '--peer_python',
    type=cli.value(Text),
    default=sys.executable,
    help='the python that has the other library',
  )
  for name, (size, about) in SIZES.items():
    add(f'--{name}', type=count, default=size, help=about)
  add('--steps', type=count, default=6, help='steps per median')
  add('--warmup', type=count, default=2, help='steps before them')
  add('--turn', type=count, default=2, help='steps before the other side runs')
  add('--small', action='store_true', help='a model of two layers')
  add_out(parser)
  return parser


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  _check_peer(flags.what, flags.peer_python)
  with tempfile.TemporaryDirectory() as folder:
    row, about = compared(flags, Path(folder))
  report(flags, 'benchmarks.peers', [row], about)


def compared(flags: Any, folder: Path) -> tuple[dict, dict]:
  """The row of a comparison, and what our process says about the machine."""
  options = _options(flags, folder)
  # In a process of its own, whose memory is not that of the steps.
  write = _command(sys.executable, OURS, 'write_model', options, folder)
  written = subprocess.run(write, stdout=subprocess.PIPE, check=True)
  about = json.loads(written.stdout)
  options['cpu'] = about['device'] == 'cpu'
  with (
    Side(sys.executable, OURS, options, folder / 'ours') as ours,
    Side(flags.peer_python, PEER, options, folder / 'peer') as peer,
  ):
    sides = {'ours': ours, 'peer': peer}
    seconds = {name: [] for name in sides}
    for side in sides.values():
      for _ in range(flags.warmup):
        side.step()
    while len(seconds['peer']) < flags.steps:
      for name, side in sides.items():
        seconds[name] += [side.step() for _ in range(flags.turn)]
    medians = {name: statistics.median(x) for name, x in seconds.items()}
    row = {
      'step': flags.what,
      **{f'{name}, s': x for name, x in medians.items()},
    }
    row['ratio'] = medians['peer'] / medians['ours']
    for fact in ('tokens', 'peak, MiB'):
      row |= {f'{name}, {fact}': x.facts[fact] for name, x in sides.items()}
    if flags.what == 'decode':  # greedy, by the same weights
      both = zip(ours.facts['ids'], peer.facts['ids'], strict=True)
      row['equal rows'] = sum(a == b for a, b in both)
  return row, about


class Side:
  """A process that makes a step whenever it is told to; a context manager."""

  def __init__(self, python: str, steps: str, options: dict, folder: Path):
    folder.mkdir()
    self._python, self._log = python, folder / 'stderr'
    options = options | {'workdir': str(folder / 'workdir')}
    with self._log.open('w') as log:
      self._process = subprocess.Popen(
        _command(python, steps, 'main', options, folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
      )
    self.facts: dict[str, Any] = {}
    self._wait()

  def step(self) -> float:
    """The seconds until the end of the next step."""
    pipe, began = self._process.stdin, time.perf_counter()
    assert pipe
    pipe.write('\n')
    pipe.flush()
    self._wait()
    return time.perf_counter() - began

  def _wait(self) -> None:
    assert self._process.stdout
    line = self._process.stdout.readline()
    if not line:
      print(self._log.read_text()[-5000:], file=sys.stderr)
      raise ChildProcessError(
        f'{self._python} ended with exit code '
        f'{self._process.wait()} after the messages above'
      )
    self.facts |= json.loads(line)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self._process.kill()
    self._process.communicate()


def _command(
  python: str, steps: str, function: str, options: dict, folder: Path
) -> list[str]:
  """Calls a function of the module that `steps` imports under this name."""
  code = f'import sys\n{steps}\nsteps.{function}(sys.argv[1])'
  file = folder / 'options.json'
  file.write_text(json.dumps(options))
  return [python, '-c', code, str(file)]


def _options(flags: Any, folder: Path) -> dict[str, Any]:
  """Sizes and texts for both sides. A letter is a token."""
  draw = random.Random(0)
  text = lambda n: ' '.join(draw.choices(string.ascii_lowercase, k=n))
  count = max(64, flags.batch, 4 * flags.rows)
  questions = [text(4) for _ in range(count)]
  answers = [text(flags.length // 4 - 5) for _ in range(count)]  # and an end
  return {name: getattr(flags, name) for name in SIZES} | {
    'model': str(folder / 'model'),
    'what': flags.what,
    'small': flags.small,
    'texts': [text(flags.prompt) for _ in range(count)],
    'questions': questions,
    'answers': answers,
    'documents': [f'{q} {a}' for q, a in zip(questions, answers, strict=True)],
  }


def _check_peer(what: str, python: str) -> None:
  """ImportError where the peer's python lacks its library."""
  modules, requirements = NEEDS[what]
  code = (
    'import sys; from importlib.util import find_spec; '
    f'sys.exit(not all(map(find_spec, {modules})))'
  )
  if subprocess.run([python, '-c', code]).returncode:
    raise ImportError(
      f'--what={what}: {python} lacks one of {", ".join(modules)}: pip install '
      f'{requirements}, or write --peer_python with a python that has them'
    )


if __name__ == '__main__':
  main()
