"""Compiles programs in parallel, times them interleaved, and names the machine
and the versions."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp


class Program(NamedTuple):
  """A compiled program with its arguments."""

  compiled: Any  # a jax.stages.Compiled
  arguments: tuple
  facts: dict[str, float]  # seconds to compile, bytes by kind

  def __call__(self) -> Any:
    """Runs it and waits for the result."""
    return jax.block_until_ready(self.compiled(*self.arguments))


def compiled(
  jobs: Mapping[Any, tuple[Any, tuple]], threads: int = 8
) -> dict[Any, Program]:
  """Name -> program, from {name: (a jitted function, its arguments)}. They
  compile in parallel, so the seconds of each include waiting for others."""

  def compile_one(job):
    lowered, arguments = job
    began = time.perf_counter()
    program = lowered.compile()
    facts = {'compile_s': time.perf_counter() - began}
    memory = program.memory_analysis()
    for kind in ('argument', 'output', 'temp') if memory else ():
      facts[f'{kind}_bytes'] = getattr(memory, f'{kind}_size_in_bytes')
    return Program(program, arguments, facts)

  lowered = [
    (function.lower(*arguments), arguments)
    for function, arguments in jobs.values()
  ]
  with ThreadPoolExecutor(threads) as pool:
    return dict(zip(jobs, pool.map(compile_one, lowered), strict=True))


def interleaved(
  runs: Mapping[Any, Callable[[], object]], repeats: int
) -> dict[Any, float]:
  """Name -> median seconds over `repeats` rounds, each of which runs all of
  them once."""
  seconds = {name: [] for name in runs}
  for run in runs.values():
    run()  # compiles, or warms up caches
  for _ in range(repeats):
    for name, run in runs.items():
      began = time.perf_counter()
      run()
      seconds[name].append(time.perf_counter() - began)
  return {name: statistics.median(some) for name, some in seconds.items()}


def peaks(dtype: str) -> tuple[float, float]:
  """(bytes/s of reading memory, FLOP/s of a matmul), in 1e9: of the fastest of
  five repetitions each."""
  table, x = jnp.ones((1 << 15, 1 << 12)), jnp.ones(1 << 12)
  square = jnp.ones((2048, 2048), dtype)
  product = jax.jit(jnp.matmul)

  def fastest(*operands):
    run = lambda: jax.block_until_ready(product(*operands))
    return min(interleaved(dict.fromkeys(range(5), run), 1).values())

  read = table.nbytes / fastest(table, x)
  return read / 1e9, 2 * len(square) ** 3 / fastest(square, square) / 1e9


def about() -> dict[str, Any]:
  """Date, revision, devices and versions."""
  device = jax.devices()[0]
  git = ['git', '-C', str(Path(__file__).parent), 'rev-parse', 'HEAD']
  try:
    head = subprocess.run(git, capture_output=True, text=True)
    revision = head.stdout.strip() or None
  except OSError:
    revision = None  # a machine without git
  return {
    'date': datetime.now(UTC).isoformat(timespec='seconds'),
    'revision': revision,
    'device': device.device_kind,
    'devices': jax.device_count(),
    'cores': os.cpu_count(),
    'runtime': ' '.join(device.client.platform_version.split()),
    'jax': jax.__version__,
    'flax': flax.__version__,
    'python': platform.python_version(),
  }
