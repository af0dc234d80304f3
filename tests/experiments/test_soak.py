"""Thousands of steps need no more than the first hundreds did."""

import ctypes
import gc
import os
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from experiments import grpo, sft
from experiments.configs import sft_arithmetic
from hybrid_latent.telemetry import Telemetry
from tests.experiments import rl_tiny
from tests.experiments.runs import COMPILED, quick_compiler

pytestmark = pytest.mark.slow
PAGE = os.sysconf('SC_PAGE_SIZE')


class Sample(NamedTuple):
  """What a process has at one step."""

  step: int
  memory: int  # bytes that are resident
  files: int  # descriptors
  arrays: int  # live buffers of jax
  programs: int  # compiled so far


def sft_config(model_folder, steps):
  config = sft_arithmetic.get_config(f'{model_folder},cot').unlock()
  config.update(
    max_steps=steps, batch_size=8, max_length=64, packing=True, buckets=1
  )
  config.data.kwargs.update(count=64, largest=20, steps=(1, 2))
  config.eval.num_prompts = 0
  config.checkpoint.every = 100
  return config.lock()


def grpo_config(model_folder, steps):
  config = rl_tiny.get_config(f'{model_folder},hrpo').unlock()
  config.update(max_steps=steps)
  config.mesh.update(data=-1, fsdp=1, tensor=1)
  config.checkpoint.every = 50
  return config.lock()


@pytest.mark.parametrize(
  ('trainer', 'config_of', 'steps', 'every'),
  [(sft, sft_config, 2000, 100), (grpo, grpo_config, 400, 25)],
)
def test_nothing_grows(
  model_folder, tmp_path, monkeypatch, trainer, config_of, steps, every
):
  samples, compiled, log = [], [], Telemetry.log

  def listen(event, seconds, **details):
    if event == COMPILED:
      compiled.append(details['fun_name'])

  def logged(self, step, metrics):
    log(self, step, metrics)
    if step % every == every // 2:  # far from a checkpoint
      gc.collect()
      ctypes.CDLL(None).malloc_trim(0)  # what is free is no growth
      memory = int(Path('/proc/self/statm').read_text().split()[1]) * PAGE
      files = len(os.listdir('/proc/self/fd'))
      arrays = len(jax.live_arrays())
      samples.append(Sample(step, memory, files, arrays, len(compiled)))

  monkeypatch.setattr(Telemetry, 'log', logged)
  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    with quick_compiler():
      trainer.train(config_of(model_folder, steps), str(tmp_path))
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  warm = samples[len(samples) // 4 :]
  growth = np.polyfit([x.step for x in warm], [x.memory for x in warm], 1)[0]
  print(trainer.__name__, f'{growth:.0f} bytes a step', *samples, sep='\n')
  assert len({x.files for x in warm}) <= 2  # a save may just be going on
  assert warm[-1].files <= warm[0].files
  assert len({x.arrays for x in warm}) == 1
  assert len({x.programs for x in warm}) == 1
  assert growth * steps < 0.05 * warm[0].memory  # of the allocators
