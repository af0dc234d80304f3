r"""What a trainer does before its first step: imports and compilation.

    python -m experiments.benchmarks.start_up [--steps=20]

imports: the CPU seconds of `import experiments.grpo`, a median. starts: a small
model is trained twice by experiments.grpo with an empty compilation cache. The
programs that were kept took over half a second each to compile; the seconds to
compile are those of the first step beyond a median one.
"""

from hybrid_latent.ranges import PositiveInt

from ..training import cli
from .options import add_out
from .records import report


def _parser() -> cli.Parser:
  parser = cli.Parser('benchmarks.start_up', __doc__)
  add, count = parser.add_argument, cli.value(PositiveInt)
  add('--steps', type=count, default=20, help='of each run')
  add('--repeats', type=count, default=3, help='imports per median')
  add_out(parser)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hybrid_latent.data.arithmetic import tokenizer

from .. import PACKAGE
from ..new_model import new_model
from ..report.tables import read_rows
from .timing import about


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  with tempfile.TemporaryDirectory() as folder:
    rows = [starts(flags.steps, Path(folder)) | imports(flags.repeats)]
  report(flags, 'benchmarks.start_up', rows, about())


def imports(repeats: int) -> dict[str, float]:
  """The CPU seconds of the imports of a trainer."""
  seconds = []
  for _ in range(repeats):
    before = _children()
    code = f'import {PACKAGE}.grpo'
    subprocess.run([sys.executable, '-c', code], check=True)
    seconds.append(_children() - before)
  return {'import, CPU s': statistics.median(seconds)}


def starts(steps: int, folder: Path) -> dict[str, Any]:
  """Programs and seconds to compile of a run, and of the same run again."""
  cache = folder / 'cache'
  new_model(folder / 'model', tokenizer())
  environment = os.environ | {'HYBRID_LATENT_CACHE': str(cache)}
  environment.pop('JAX_COMPILATION_CACHE_DIR', None)
  seconds = []
  for name in ('first', 'second'):
    command = [sys.executable, '-m', f'{PACKAGE}.grpo']
    command += [f'--config=rl_arithmetic:{folder}/model,grpo']
    command += [f'--workdir={folder}/{name}', f'--config.max_steps={steps}']
    command += ['--config.eval.num_prompts=0', '--config.trackers=()']
    subprocess.run(command, env=environment, check=True)
    rows = read_rows(folder / name, 'metrics')
    first, *others = [row['time/step'] for row in rows if 'time/step' in row]
    seconds.append(first - statistics.median(others))
  return {
    'programs': len([*cache.glob('*-cache')]),
    'first start, compile s': seconds[0],
    'second start, compile s': seconds[1],
    'ratio': seconds[1] / seconds[0],
  }


def _children() -> float:
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  return used.ru_utime + used.ru_stime


if __name__ == '__main__':
  main()
