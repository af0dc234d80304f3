"""Compiles programs in parallel and times them interleaved."""

import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax


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
