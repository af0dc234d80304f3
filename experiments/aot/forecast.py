"""What a trainer's step would do on devices that need not be there: bytes,
work and time of each of its programs, compiled from shapes."""

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
from .abstract_model import stand_in, without_files
from .compiled import Work, work
from .targets import Chip, Device


class Program(NamedTuple):
  """One of a step's programs, on each device."""

  name: str
  fingerprint: str  # of what was compiled
  bytes: dict[str, int]  # in the large memory while it runs, by kind
  work: Work
  compile_s: float
  refused: str = ''  # the compiler's words, where it found no memory for it

  @property
  def total(self) -> int:
    """Bytes in all."""
    return sum(self.bytes.values())

  def seconds(self, chip: Chip) -> dict[str, float]:
    """What the chip needs at least, by what would bound it."""
    sent = self.work.collectives.values()
    far = sum(c.between_hosts for c in sent)
    near = sum(c.sent for c in sent) - far
    return {
      'compute': self.work.flops / chip.flops,
      'memory': self.work.traffic / chip.bandwidth,
      'network': near / chip.links + far / chip.network,
    }


def forecast(
  config: Config, trainer: str, devices: Sequence[Device]
) -> list[Program]:
  """The programs of a step, in order; the last one has `refused` set where the
  compiler found that it cannot fit, and none follows it."""
  steps = {name: f for name, f in vars(trace_step).items()
           if inspect.isfunction(f) and name[0] != '_'
           and 'run' in inspect.signature(f).parameters}  # fmt: skip
  if trainer not in steps:
    raise ValueError(f'--trainer={trainer}: write one of {sorted(steps)}')
  mesh = sharding.mesh(**config.mesh, devices=devices)
  rounds = config.rollout.max_tokens if 'rollout' in config else 1
  rehearsal = _Rehearsal(mesh, rounds)
  config = without_files(config)
  with contextlib.suppress(_Refused):
    steps[trainer](config, mesh, stand_in(config.model, mesh), rehearsal.run)
  return rehearsal.programs


def fingerprint_and_peak(
  config: Config, trainer: str, devices: Sequence[Device]
) -> tuple[str, int]:
  """A name for the compiled programs of a config, and the most bytes that a
  device holds. Configs that differ in traced values only have the same."""
  programs = forecast(config, trainer, devices)
  prints = ' '.join(f'{p.name} {p.fingerprint}' for p in programs)
  fingerprint = hashlib.sha256(prints.encode()).hexdigest()[:12]
  return fingerprint, max(program.total for program in programs)


class _Refused(Exception):
  """A program for which there is no memory: what follows needs its outputs."""


class _Compiled(NamedTuple):
  memory: dict[str, int]
  work: Work
  where: list[NamedSharding]  # of each output
  compile_s: float


class _Rehearsal:
  """Compiles the programs that a trainer runs, and remembers."""

  _known: dict[tuple, _Compiled] = {}  # noqa: RUF012  # in this process

  def __init__(self, mesh: Mesh, rounds: int):
    self._devices, self._rounds = mesh.devices.flatten(), rounds
    self.programs: list[Program] = []

  def run(self, name, program, *args, living, inside=None, **kwargs):
    """Shapes of what `program` gives. By kind, `living` is all that the devices
    hold while it runs, its arguments included; `inside` what it makes for
    itself that has a name, such as the cache of a decoding loop."""
    args, kwargs = jax.tree.map(_shape, (args, kwargs))
    lowered = program.lower(*args, **kwargs)
    text = lowered.as_text()
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:12]
    held = {kind: device_bytes(tree) for kind, tree in living.items()}
    key = fingerprint, *map(id, self._devices), self._rounds
    try:
      if key not in self._known:
        print(f'compiling {name} ...', file=sys.stderr, flush=True)
        self._known[key] = self._compiled(lowered)
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      self._refuse(Program(name, fingerprint, held, Work(), 0, str(error)))
    known = self._known[key]
    made = {kind: device_bytes(tree) for kind, tree in (inside or {}).items()}
    rest = max(known.memory['temporaries'] - sum(made.values()), 0)
    kinds = Counter(held) + Counter(made) + Counter(known.memory)
    kinds['temporaries'] = rest
    self.programs.append(
      Program(name, fingerprint, kinds, known.work, known.compile_s)
    )
    place = lambda x, where: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=where
    )
    # By leaf: what compiles the same may have other static fields.
    shapes, tree = jax.tree.flatten(lowered.out_info)
    return tree.unflatten(map(place, shapes, known.where))

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
      work(compiled.as_text(), rounds=self._rounds, hosts=hosts),
      jax.tree.leaves(compiled.output_shardings),
      compile_s,
    )

  def _refuse(self, program: Program):
    found = re.search(
      r'Used ([\d.]+)G|temporaries \(([\d.]+)G', program.refused
    )
    if found:
      needed = int(float(found[1] or found[2]) * 2**30)
      program.bytes['temporaries'] = needed
    self.programs.append(program)
    raise _Refused


def device_bytes(tree: PyTree) -> int:
  """Bytes of a tree of arrays, or of their shapes, on each device."""

  def size(x):
    shape = x.sharding.shard_shape(x.shape) if x.sharding else x.shape
    return int(np.prod(shape)) * x.dtype.itemsize

  return sum(map(size, jax.tree.leaves(tree)))


def _shape(x):
  """The shape of an array that is at hand; anything else as it is."""
  if isinstance(x, jax.Array | np.ndarray):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)
  return x
