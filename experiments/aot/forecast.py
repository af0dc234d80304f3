"""Memory, cost and roofline time of the programs of a trainer's step, compiled
from shapes for devices that need not be attached."""

import contextlib
import hashlib
import inspect
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from hybrid_latent import sharding
from hybrid_latent.types import PyTree

from ..training.cli import Config
from . import trace_step
from .abstract_model import abstract_model, without_reasoner_files
from .compiled import Cost, program_cost
from .targets import Chip, Device


class Program(NamedTuple):
  """A program of a step, per device."""

  name: str
  fingerprint: str  # of what was compiled
  bytes: dict[str, int]  # in HBM while it runs, by kind
  cost: Cost
  compile_s: float
  oom_error: str = ''  # the compiler's message where the memory is too small

  @property
  def total(self) -> int:
    """All bytes."""
    return sum(self.bytes.values())

  def seconds(self, chip: Chip) -> dict[str, float]:
    """Roofline seconds by bound: compute, memory, network."""
    sent = self.cost.collectives.values()
    far = sum(c.between_hosts for c in sent)
    near = sum(c.sent for c in sent) - far
    return {
      'compute': self.cost.flops / chip.flops,
      'memory': self.cost.traffic / chip.bandwidth,
      'network': near / chip.links + far / chip.network,
    }


def forecast(
  config: Config, trainer: str, devices: Sequence[Device]
) -> list[Program]:
  """The programs of a step, in order. Where the compiler finds that one does
  not fit, it has `oom_error` and is the last."""
  steps = {name: f for name, f in vars(trace_step).items()
           if inspect.isfunction(f) and name[0] != '_'
           and 'run' in inspect.signature(f).parameters}  # fmt: skip
  if trainer not in steps:
    raise ValueError(f'--trainer={trainer}: write one of {sorted(steps)}')
  mesh = sharding.mesh(**config.mesh, devices=devices)
  decode_steps = (
    config.rollout.max_completion_length if 'rollout' in config else 1
  )
  compiler = _StepCompiler(mesh, decode_steps)
  config = without_reasoner_files(config)
  with contextlib.suppress(_OutOfMemory):
    steps[trainer](
      config, mesh, abstract_model(config.model, mesh), compiler.run
    )
  return compiler.programs


def fingerprint_and_peak(
  config: Config, trainer: str, devices: Sequence[Device]
) -> tuple[str, int]:
  """A fingerprint of the compiled programs of a config, and the peak bytes per
  device. Configs that differ in traced values only share the fingerprint."""
  programs = forecast(config, trainer, devices)
  names = ' '.join(f'{p.name} {p.fingerprint}' for p in programs)
  fingerprint = hashlib.sha256(names.encode()).hexdigest()[:12]
  return fingerprint, max(program.total for program in programs)


class _OutOfMemory(Exception):
  """A program does not fit; later ones need its outputs."""


class _Compiled(NamedTuple):
  memory: dict[str, int]
  cost: Cost
  shardings: list[NamedSharding]  # of each output
  compile_s: float


class _StepCompiler:
  """Compiles the programs of a step, each once per process."""

  _cache: dict[tuple, _Compiled] = {}  # noqa: RUF012

  def __init__(self, mesh: Mesh, trip_count: int):
    self._devices, self._trip_count = mesh.devices.flatten(), trip_count
    self.programs: list[Program] = []

  def run(self, name, program, *args, live, internal=None, **kwargs):
    """Compiles `program` and returns the shapes of its outputs. By kind,
    `live` are the arrays that are live while it runs, its arguments included;
    `internal` are arrays that it allocates itself, such as the cache of a
    decoding loop."""
    args, kwargs = jax.tree.map(_shape, (args, kwargs))
    lowered = program.lower(*args, **kwargs)
    text = lowered.as_text()
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:12]
    held = {kind: device_bytes(tree) for kind, tree in live.items()}
    key = fingerprint, *map(id, self._devices), self._trip_count
    try:
      if key not in self._cache:
        print(f'compiling {name} ...', file=sys.stderr, flush=True)
        self._cache[key] = self._compiled(lowered)
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      self._fail(Program(name, fingerprint, held, Cost(), 0, str(error)))
    known = self._cache[key]
    # The compiler counts them as temporaries; the table shows them by kind.
    made = {kind: device_bytes(tree) for kind, tree in (internal or {}).items()}
    rest = max(known.memory['temporaries'] - sum(made.values()), 0)
    kinds = Counter(held) + Counter(made) + Counter(known.memory)
    kinds['temporaries'] = rest
    self.programs.append(
      Program(name, fingerprint, kinds, known.cost, known.compile_s)
    )
    place = lambda x, where: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=where
    )
    # By leaf: programs that compile to the same may differ in static fields.
    shapes, tree = jax.tree.flatten(lowered.out_info)
    return tree.unflatten(map(place, shapes, known.shardings))

  def _compiled(self, lowered) -> _Compiled:
    began = time.perf_counter()
    compiled = lowered.compile()
    compile_s = time.perf_counter() - began
    memory = compiled.memory_analysis()
    outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    hosts = [device.process_index for device in self._devices]
    return _Compiled(
      {
        'outputs': outputs,
        'temporaries': memory.temp_size_in_bytes,
        'code': memory.generated_code_size_in_bytes,
      },
      program_cost(
        compiled.as_text(), trip_count=self._trip_count, hosts=hosts
      ),
      jax.tree.leaves(compiled.output_shardings),
      compile_s,
    )

  def _fail(self, program: Program):
    found = re.search(
      r'Used ([\d.]+)G|temporaries \(([\d.]+)G', program.oom_error
    )
    if found:
      needed = int(float(found[1] or found[2]) * 2**30)
      program.bytes['temporaries'] = needed
    self.programs.append(program)
    raise _OutOfMemory


def device_bytes(tree: PyTree) -> int:
  """Bytes per device of a tree of arrays, or of their shapes."""

  def size(x):
    shape = x.sharding.shard_shape(x.shape) if x.sharding else x.shape
    return int(np.prod(shape)) * x.dtype.itemsize

  return sum(map(size, jax.tree.leaves(tree)))


def _shape(x):
  """The shape of a concrete array; anything else as it is."""
  if isinstance(x, jax.Array | np.ndarray):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)
  return x
