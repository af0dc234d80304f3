r"""Compiles a trainer's step for a machine that is not there, and says whether
it fits and what bounds it.

    python -m experiments.aot --target=v5p:4x4x4 --config.mesh.fsdp=64 \
        --config=experiments/configs/hrpo_gsm8k.py:Qwen/Qwen2.5-7B-Instruct \
        --config.rollout.prompts=64

No weights are read and nothing is downloaded: a released model is known by its
sizes. The exit code is 1 where the step does not fit; then the cheapest change
with which it does is looked for, by compiling again (--no-suggest: it is not).
`--target` see experiments/aot/targets.py; `--memory=GIB` a device has less or
more than that; `--out=FILE.json` writes it all down; `--quick` compiles three
times as fast, for programs that take somewhat more.
"""

import argparse

from hybrid_latent.ranges import PositiveFloat

from ..fields.accepted import Folder, Text
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.config_parser('aot', __doc__, workdir=False)
  add = parser.add_argument
  add(
    '--target',
    required=True,
    type=cli.value(Text),
    help='MACHINE:DEVICES, see experiments/aot/targets.py',
  )
  add(
    '--trainer',
    default='grpo',
    choices=('grpo', 'lrt', 'sft'),
    help='of the config',
  )
  add('--out', type=cli.value(Folder), help='FILE.json to write')
  add(
    '--suggest',
    action=argparse.BooleanOptionalAction,
    default=True,
    help='look for a change that fits',
  )
  add('--memory', type=cli.value(PositiveFloat), help='GiB per device')
  add('--quick', action='store_true', help='compile faster, with less effort')
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  cli.parse(_parser())

import json
import sys
from collections.abc import Iterator

import jax

from hybrid_latent import sharding

from ..report.tables import write_atomic
from ..training.cli import Config
from .forecast import Program, forecast
from .targets import GIB, Target, target

NOTHING_HELPS = (
  'No change of chunk, micro-batches, remat or mesh makes it fit: take more '
  'devices, or fewer or shorter completions'
)


@cli.report_errors()
def main(argv: list[str]) -> int:
  """The exit code: 0 where the step fits."""
  config, known = cli.parse(_parser(), argv)
  machine = target(known.target)
  if known.quick:
    jax.config.update('jax_exec_time_optimization_effort', -1.0)
  programs = forecast(config, known.trainer, machine.devices)
  if known.memory:
    chip = machine.chip._replace(memory=known.memory * GIB)
    machine = machine._replace(chip=chip)
  print(f'{known.config} on {known.target}, {len(machine.devices)} devices')
  print(table(programs, machine))
  fitting = fits(programs, machine)
  change = None
  if not fitting and known.suggest:
    change = suggestion(config, known.trainer, machine, programs)
    print(f'It fits with {" ".join(change)}' if change else NOTHING_HELPS)
  if known.out:
    found = {
      'config': json.loads(config.to_json_best_effort()),
      'target': known.target, 'trainer': known.trainer, 'fits': fitting,
      'suggestion': change, 'memory': machine.chip.memory,
      'programs': [figures(program, machine) for program in programs],
    }  # fmt: skip
    write_atomic(known.out, json.dumps(found, indent=2) + '\n')
  return 0 if fitting else 1


def fits(programs: list[Program], machine: Target) -> bool:
  """Whether every program was compiled and has room beside what lives on."""
  return not any(
    program.refused or program.total > machine.chip.memory
    for program in programs
  )


def figures(program: Program, machine: Target) -> dict:
  """What there is to know of a program, for a file."""
  return {
    'name': program.name,
    'fingerprint': program.fingerprint,
    'bytes': program.bytes,
    'total_bytes': program.total,
    'flops': program.work.flops,
    'traffic_bytes': program.work.traffic,
    'collectives': {
      kind: one._asdict() for kind, one in program.work.collectives.items()
    },
    'loops_of_unknown_length': program.work.unknown,
    'compile_s': program.compile_s,
    'roofline_s': program.seconds(machine.chip),
    'refused': program.refused,
  }


def table(programs: list[Program], machine: Target) -> str:
  """Programs side by side, per device."""
  kinds = dict.fromkeys(kind for program in programs for kind in program.bytes)
  talk = dict.fromkeys(
    kind for program in programs for kind in program.work.collectives
  )
  gib = lambda x: f'{x / GIB:.2f}' if x else '-'
  rows = [['per device', *(program.name for program in programs)]]
  for kind in kinds:
    rows.append(
      [f'{kind}, GiB', *(gib(p.bytes.get(kind, 0)) for p in programs)]
    )
  rows.append(['in all, GiB', *(gib(p.total) for p in programs)])
  rows.append(
    [
      'matrix products, TFLOP',
      *(f'{p.work.flops / 1e12:.3f}' for p in programs),
    ]
  )
  rows.append(['memory traffic, GiB', *(gib(p.work.traffic) for p in programs)])
  for kind in talk:
    found = [p.work.collectives.get(kind) for p in programs]
    rows.append([f'{kind}, sent GiB (count)', *(
      f'{c.sent / GIB:.3f} ({c.count:.0f})' if c else '-' for c in found
    )])  # fmt: skip
  rows.append(['compiled in, s', *(f'{p.compile_s:.0f}' for p in programs)])
  times = [program.seconds(machine.chip) for program in programs]
  rows.append(['at least, s', *(_bound(seconds) for seconds in times)])
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = ['  '.join(
    [row[0].ljust(widths[0]),
     *(x.rjust(w) for x, w in zip(row[1:], widths[1:], strict=True))]
  ) for row in rows]  # fmt: skip
  step = sum(max(seconds.values()) for seconds in times)
  return '\n'.join([*lines, _verdict(programs, machine, step)])


def suggestion(
  config: Config, trainer: str, machine: Target, programs: list[Program]
) -> list[str]:
  """The first options, the cheapest first, with which the step fits; none
  where there are none. Each is compiled."""
  for options in candidates(config, machine, programs):
    changed = config.copy_and_resolve_references()
    with changed.unlocked():
      changed.update_from_flattened_dict(options)
    words = [f'--config.{name}={value}' for name, value in options.items()]
    print('trying', *words, flush=True)
    try:
      found = forecast(changed, trainer, machine.devices)
    except ValueError as error:  # sizes that nothing can be cut into
      print(f'  {error}')
      continue
    if fits(found, machine):
      return words
  return []


def candidates(
  config: Config, machine: Target, programs: list[Program]
) -> Iterator[dict]:
  """Changes that change no result, in order of what they cost: shorter chunks
  nothing, more micro-batches smaller matrices, remat a third more work, more
  shards more talk."""
  worst = _worst(programs)
  living = (
    worst.total - worst.bytes['temporaries'] - worst.bytes.get('outputs', 0)
  )
  smaller: dict = {}
  if living < machine.chip.memory:
    if 'chunk' in config.get('rollout', {}) and config.rollout.chunk > 32:
      smaller |= {'rollout.chunk': 32}
      yield dict(smaller)
    if worst.name == 'update':
      for times in 2, 4:
        yield smaller | {'micro_batches': config.micro_batches * times}
      smaller |= {'micro_batches': config.micro_batches * 4}
      if config.model.remat != 'full':
        smaller |= {'model.remat': 'full'}
        yield dict(smaller)
  mesh = sharding.mesh(**config.mesh, devices=machine.devices).shape
  for times in range(2, mesh['data'] + 1):
    if mesh['data'] % times == 0:
      wider = {'mesh.data': -1, 'mesh.fsdp': times * mesh['fsdp']}
      yield wider
      if smaller:
        yield smaller | wider


def _worst(programs):
  return max(programs, key=lambda p: (bool(p.refused), p.total))


def _verdict(programs, machine, step_s):
  worst = _worst(programs)
  takes = (
    f'{worst.name} takes {worst.total / GIB:.2f} GiB of '
    f'{machine.chip.memory / GIB:.2f}'
  )
  if worst.refused:
    return f'DOES NOT FIT: {takes}; the compiler: {worst.refused.strip()}'
  verdict = 'fits' if fits(programs, machine) else 'DOES NOT FIT'
  return f'{verdict}: {takes}; a step takes {step_s:.2f} s at least'


def _bound(seconds: dict[str, float]) -> str:
  bound = max(seconds, key=lambda name: seconds[name])
  return f'{seconds[bound]:.3f} {bound}'


if __name__ == '__main__':
  jax.config.update('jax_platforms', 'cpu')
  for word in sys.argv:
    if word.startswith('--target=cpu:') and word[13:].isdigit():
      jax.config.update('jax_num_cpu_devices', int(word[13:]))
  sys.exit(main(sys.argv[1:]))
