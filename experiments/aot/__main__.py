r"""Compiles a trainer's step for a machine that is not attached: memory, cost
and roofline time.

    python -m experiments.aot --target=v5p:4x4x4 --config.mesh.fsdp=64 \
        --config=hrpo_gsm8k:Qwen/Qwen2.5-7B-Instruct \
        --config.rollout.prompts_per_step=64

Reads no weights and downloads nothing: the sizes of released models are built
in. The exit code is 1 where the step does not fit; then the cheapest change
with which it fits is searched by compiling again (--no-suggest: no search). For
--target see aot/targets.py; --memory=GIB overrides the memory per device;
--out=FILE.json writes all numbers; --quick compiles three times as fast, to
programs that need somewhat more memory.
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
    help='MACHINE:DEVICES, see aot/targets.py',
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
  config, flags = cli.parse(_parser(), argv)
  machine = target(flags.target)
  if flags.quick:
    jax.config.update('jax_exec_time_optimization_effort', -1.0)
  programs = forecast(config, flags.trainer, machine.devices)
  if flags.memory:
    chip = machine.chip._replace(memory=flags.memory * GIB)
    machine = machine._replace(chip=chip)
  print(f'{flags.config} on {flags.target}, {len(machine.devices)} devices')
  print(cost_table(programs, machine))
  step_fits = fits(programs, machine)
  change = None
  if not step_fits and flags.suggest:
    change = find_change(config, flags.trainer, machine, programs)
    print(f'It fits with {" ".join(change)}' if change else NOTHING_HELPS)
  if flags.out:
    found = {
      'config': json.loads(config.to_json_best_effort()),
      'target': flags.target, 'trainer': flags.trainer, 'fits': step_fits,
      'suggestion': change, 'memory': machine.chip.memory,
      'programs': [program_record(program, machine) for program in programs],
    }  # fmt: skip
    write_atomic(flags.out, json.dumps(found, indent=2) + '\n')
  return 0 if step_fits else 1


def fits(programs: list[Program], machine: Target) -> bool:
  """Whether every program was compiled and fits with all live arrays."""
  return not any(
    program.oom_error or program.total > machine.chip.memory
    for program in programs
  )


def program_record(program: Program, machine: Target) -> dict:
  """All numbers of a program, for --out."""
  return {
    'name': program.name,
    'fingerprint': program.fingerprint,
    'bytes': program.bytes,
    'total_bytes': program.total,
    'flops': program.cost.flops,
    'traffic_bytes': program.cost.traffic,
    'collectives': {
      kind: one._asdict() for kind, one in program.cost.collectives.items()
    },
    'loops_of_unknown_length': program.cost.unknown,
    'compile_s': program.compile_s,
    'roofline_s': program.seconds(machine.chip),
    'refused': program.oom_error,
  }


def cost_table(programs: list[Program], machine: Target) -> str:
  """The costs of programs, one column per program, per device."""
  kinds = dict.fromkeys(kind for program in programs for kind in program.bytes)
  collectives = dict.fromkeys(
    kind for program in programs for kind in program.cost.collectives
  )
  gib = lambda x: f'{x / GIB:.2f}' if x else '-'
  rows = [['per device', *(program.name for program in programs)]]
  for kind in kinds:
    rows.append(
      [f'{kind}, GiB', *(gib(p.bytes.get(kind, 0)) for p in programs)]
    )
  rows.append(['total, GiB', *(gib(p.total) for p in programs)])
  rows.append(
    [
      'matmuls, TFLOP',
      *(f'{p.cost.flops / 1e12:.3f}' for p in programs),
    ]
  )
  rows.append(['memory traffic, GiB', *(gib(p.cost.traffic) for p in programs)])
  for kind in collectives:
    found = [p.cost.collectives.get(kind) for p in programs]
    rows.append([f'{kind}, sent GiB (count)', *(
      f'{c.sent / GIB:.3f} ({c.count:.0f})' if c else '-' for c in found
    )])  # fmt: skip
  rows.append(['compile time, s', *(f'{p.compile_s:.0f}' for p in programs)])
  times = [program.seconds(machine.chip) for program in programs]
  rows.append(['roofline, s', *(_bound(seconds) for seconds in times)])
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = ['  '.join(
    [row[0].ljust(widths[0]),
     *(x.rjust(w) for x, w in zip(row[1:], widths[1:], strict=True))]
  ) for row in rows]  # fmt: skip
  step = sum(max(seconds.values()) for seconds in times)
  return '\n'.join([*lines, _verdict(programs, machine, step)])


def find_change(
  config: Config, trainer: str, machine: Target, programs: list[Program]
) -> list[str]:
  """The cheapest options with which the step fits; none where there are none.
  Each candidate is compiled."""
  for options in candidate_changes(config, machine, programs):
    changed = config.copy_and_resolve_references()
    with changed.unlocked():
      changed.update_from_flattened_dict(options)
    words = [f'--config.{name}={value}' for name, value in options.items()]
    print('trying', *words, flush=True)
    try:
      found = forecast(changed, trainer, machine.devices)
    except ValueError as error:  # a mesh that does not divide the sizes
      print(f'  {error}')
      continue
    if fits(found, machine):
      return words
  return []


def candidate_changes(
  config: Config, machine: Target, programs: list[Program]
) -> Iterator[dict]:
  """Changes that keep the results, the cheapest first: shorter chunks cost
  nothing, more micro-batches smaller matmuls, remat a third more compute, more
  shards more communication."""
  worst = _worst(programs)
  live = (
    worst.total - worst.bytes['temporaries'] - worst.bytes.get('outputs', 0)
  )
  smaller: dict = {}
  # Smaller temporaries are enough only where the live arrays fit.
  if live < machine.chip.memory:
    if (
      'logits_chunk' in config.get('rollout', {})
      and config.rollout.logits_chunk > 32
    ):
      smaller |= {'rollout.logits_chunk': 32}
      yield dict(smaller)
    if worst.name == 'update':
      for times in 2, 4:
        yield smaller | {
          'gradient_accumulation_steps': config.gradient_accumulation_steps
          * times
        }
      smaller |= {
        'gradient_accumulation_steps': config.gradient_accumulation_steps * 4
      }
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
  return max(programs, key=lambda p: (bool(p.oom_error), p.total))


def _verdict(programs, machine, step_s):
  worst = _worst(programs)
  takes = (
    f'{worst.name} takes {worst.total / GIB:.2f} GiB of '
    f'{machine.chip.memory / GIB:.2f}'
  )
  if worst.oom_error:
    return f'DOES NOT FIT: {takes}; the compiler: {worst.oom_error.strip()}'
  verdict = 'fits' if fits(programs, machine) else 'DOES NOT FIT'
  return f'{verdict}: {takes}; roofline step time {step_s:.2f} s'


def _bound(seconds: dict[str, float]) -> str:
  bound = max(seconds, key=lambda name: seconds[name])
  return f'{seconds[bound]:.3f} {bound}'


if __name__ == '__main__':
  jax.config.update('jax_platforms', 'cpu')
  for word in sys.argv:
    if word.startswith('--target=cpu:') and word[13:].isdigit():
      jax.config.update('jax_num_cpu_devices', int(word[13:]))
  sys.exit(main(sys.argv[1:]))
