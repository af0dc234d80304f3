"""What the devices do in a step: metrics, and a trace for xprof.

Per device, `device/flops_per_second` and `device/mfu`, its share of the peak,
count 6 FLOPs per parameter and token of the updates, a prompt once per group
(forward and backward pass, Kaplan et al., arXiv 2001.08361, section 2.1; MFU:
PaLM, arXiv 2204.02311, appendix B), over `time/update` where completions are
sampled, else over the whole step. The table of an untied embedding, attention
and recomputation do not count; frozen weights count in full.

`device/decode_bytes_per_second` and `device/decode_bandwidth_share` count what
a step of decoding at least reads, over `time/decode`: the weights and the keys
and values of the tokens so far, of a prompt once per group.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import jax
from jax.sharding import Mesh

from .actor import rollout_mesh
from .cli import Config


class Profiler:
  """Metrics of the devices, and the trace of `config.profile`."""

  def __init__(
    self, config: Config, workdir: str, mesh: Mesh, model: Any = None
  ):
    self._folder, self._tracing = f'{workdir}/profile', False
    self._first, steps = config.profile.step, config.profile.steps
    self._last = self._first + steps - 1  # before the first for no trace
    self._config, self._mesh = config, mesh
    shapes = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype)
    self._model = jax.tree.map(shapes, model)  # an update donates its arrays
    self._device, self._chip = mesh.local_devices[0], None
    if self._device.platform != 'cpu':  # whose peak differs by machine
      targets = import_module('..aot.targets', __package__)
      self._chip = targets.data_sheet(self._device)

  @contextmanager
  def step(self, step: int) -> Iterator[None]:
    """A step, by name in the trace, which begins with config.profile.step."""
    if step == self._first <= self._last and not self._tracing:
      jax.profiler.start_trace(self._folder)
      self._tracing = True
    with jax.profiler.StepTraceAnnotation('train', step_num=step):
      yield

  def settled(self, step: int) -> None:
    """The devices have computed this step: the trace ends with its last."""
    if self._tracing and step >= self._last:
      self.close()

  def close(self) -> None:
    """Ends a trace that is not complete."""
    if self._tracing:
      jax.profiler.stop_trace()
    self._tracing = False

  def metrics(
    self, metrics: Mapping[str, float], times: Mapping[str, float]
  ) -> dict[str, float]:
    """Those of the devices, of a step with these metrics and times. Without
    memory where the device does not count it, without a share of the peak where
    that is unknown."""
    found = self._speeds(metrics, times) if self._model is not None else {}
    for speed, share, peak in (
      ('flops_per_second', 'mfu', self._chip and self._chip.flops),
      ('decode_bytes_per_second', 'decode_bandwidth_share',
       self._chip and self._chip.bandwidth),
    ):  # fmt: skip
      if speed in found and peak:
        found[share] = found[speed] / peak
    stats = self._device.memory_stats() or {}
    names = 'bytes_in_use', 'peak_bytes_in_use'
    found |= {name: stats[name] for name in names if name in stats}
    return {f'device/{name}': value for name, value in found.items()}

  def _speeds(self, metrics, times) -> dict[str, float]:
    model, devices = self._model, self._mesh.size
    flops = model_flops(model) * self._config.get('num_iterations', 1)
    if 'completions/tokens' not in metrics:  # given texts
      flops *= metrics.get('tokens', 0)
      return {'flops_per_second': flops / times['time/step'] / devices}
    rollout = self._config.rollout
    rows = rollout.prompts_per_step * rollout.num_generations
    prompts = rollout.prompts_per_step * metrics['prompts/mean_length']
    flops *= metrics['completions/tokens'] + prompts
    found = {'flops_per_second': flops / times['time/update'] / devices}
    if times.get('time/decode'):  # none for stored rollouts
      steps = metrics['completions/max_length']
      weights, cache = decode_bytes(model, rows, prompts, steps)
      tensor = rollout_mesh(rollout, self._mesh).shape['tensor']
      read = weights / tensor + cache / devices
      found['decode_bytes_per_second'] = read / times['time/decode']
    return found


def model_flops(model: Any) -> float:
  """Per token of an update: 6 per parameter. An untied embedding is only looked
  up."""
  c, parameters = model.config, sum(x.size for x in jax.tree.leaves(model))
  return 6.0 * (parameters - (0 if c.tied else c.vocab * c.width))


def decode_bytes(
  model: Any, rows: int, prompts: float, steps: float
) -> tuple[float, float]:
  """(weights, cache) in bytes that `steps` of decoding read. The cache has
  `prompts` tokens at first and one more per row and step."""
  c = model.config
  weights = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(model))
  if not c.tied:
    weights -= c.vocab * c.width * model.embedding.dtype.itemsize
  tokens = prompts + rows * (steps - 1) / 2  # on average
  return steps * weights, steps * tokens * c.token_cache_bytes
