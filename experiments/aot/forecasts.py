r"""Compiles every method for several models and machines: one table.

    python -m experiments.aot.forecasts --jobs=2

Compiles each method for each model on the machine of PLACES, by experiments.aot
in a process of its own, and stores the results in experiments/results/raw/aot/;
stored results are not compiled again. A GPU needs the extra `aot`. Each device
has one row of every micro-batch; rollouts use a mesh with the least sharding of
the weights that fits.
"""

from hybrid_latent.ranges import PositiveInt

from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('aot.forecasts', __doc__)
  parser.add_argument(
    '--jobs',
    type=cli.value(PositiveInt),
    default=1,
    help='compilations at a time',
  )
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .. import PACKAGE
from ..report.tables import markdown_table
from ..training.cli import resolved
from .targets import GIB

HERE = Path(__file__).parents[1]
RAW = HERE / 'results' / 'raw' / 'aot'

# Model -> machine, number of devices, and the mesh of the rollout.
PLACES = {
  'Qwen/Qwen2.5-1.5B-Instruct': ('v5e:4x4', 16, dict(data=16)),
  'Qwen/Qwen2.5-7B-Instruct': ('h100:1x1x8', 8, dict(data=2, tensor=4)),
  'meta-llama/Llama-3.1-8B-Instruct': ('v6e:4x4', 16, dict(data=4, tensor=4)),
  'Qwen/Qwen2.5-32B-Instruct': ('v5p:4x4x4', 64, dict(data=8, tensor=8)),
}
METHODS = {
  'GRPO': 'grpo_gsm8k:{}',
  'HRPO': 'hrpo_gsm8k:{}',
  'Soft Tokens': 'soft_tokens_gsm8k:{}',
  'HyRea': 'hyrea_rl_math:{}',
  'LRT': 'lrt:{},rl',
}


@cli.report_errors()
def main() -> int:
  """Returns the exit code: 1 where a case could not be compiled at all."""
  jobs = _parser().parse_args().jobs
  RAW.mkdir(parents=True, exist_ok=True)
  with ThreadPoolExecutor(jobs) as pool:
    every = list(pool.map(lambda case: row(*case), cases()))
  print(markdown_table([line for line in every if line]))
  return 0 if all(every) else 1


def cases() -> Iterator[tuple[str, str]]:
  """All pairs of model and method."""
  return ((model, method) for model in PLACES for method in METHODS)


def options(model: str, method: str) -> list[str]:
  """The options of experiments.aot."""
  machine, devices, rollout_mesh = PLACES[model]
  path = METHODS[method].format(model)
  trainer = 'lrt' if method == 'LRT' else 'grpo'
  # A row of an update of LRT is a prompt with all of its answers.
  micro_batches = (
    1 if method == 'LRT' else resolved(path, []).rollout.num_generations
  )
  sizes = dict(data=1, fsdp=1, tensor=1, sequence=1) | rollout_mesh
  return [
    f'--config={path}',
    f'--trainer={trainer}',
    f'--target={machine}',
    f'--config.mesh.fsdp={devices}',
    f'--config.rollout.prompts_per_step={devices}',
    f'--config.gradient_accumulation_steps={micro_batches}',
    *(f'--config.rollout.mesh.{axis}={size}' for axis, size in sizes.items()),
  ]


def row(model: str, method: str) -> dict | None:
  """A row of the table, compiled if it is not stored; None where it fails."""
  arguments = options(model, method)
  out = RAW / f'{model.rpartition("/")[2]}-{method.replace(" ", "-")}.json'
  if not out.exists():
    words = [sys.executable, '-m', f'{PACKAGE}.aot', '--quick',
               '--no-suggest', f'--out={out}']  # fmt: skip
    env = {'JAX_PLATFORMS': 'cpu', **os.environ}
    ran = subprocess.run([*words, *arguments], env=env, capture_output=True,
                         text=True, cwd=HERE.parent)  # fmt: skip
    print(f'{model}, {method}: exit code {ran.returncode}', file=sys.stderr)
    if not out.exists():
      print(ran.stderr[-2000:], file=sys.stderr)
      return None
  return _line(model, method, json.loads(out.read_text('utf-8')))


def _line(model, method, found) -> dict:
  programs = {program['name']: program for program in found['programs']}
  step = [program for name, program in programs.items() if name != 'optimizer']
  worst = max(step, key=lambda program: program['total_bytes'])
  update = programs.get('update', {'collectives': {}, 'flops': 0})
  roofline_s = sum(max(program['roofline_s'].values()) for program in step)
  sent = sum(kind['sent'] for kind in update['collectives'].values())
  return {
    'model': model.rpartition('/')[2],
    'method': method,
    'machine': found['target'],
    'fits': 'yes' if found['fits'] else 'NO',
    'peak, GiB': f'{worst["total_bytes"] / GIB:.1f} of '
    f'{found["memory"] / GIB:.0f} ({worst["name"]})',
    'parameters, GiB': f'{worst["bytes"].get("parameters", 0) / GIB:.2f}',
    'optimizer, GiB': f'{worst["bytes"].get("optimizer", 0) / GIB:.2f}',
    'update, TFLOP': f'{update["flops"] / 1e12:.0f}',
    'communication, GiB': f'{sent / GIB:.1f}',
    'roofline step time, s': f'{roofline_s:.1f}',
    'compile time, s': f'{sum(p["compile_s"] for p in programs.values()):.0f}',
  }


if __name__ == '__main__':
  sys.exit(main())
