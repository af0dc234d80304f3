import jax
import pytest

from experiments.aot import targets
from experiments.training import profiling
from hybrid_latent import sharding
from hybrid_latent.models.transformer import Transformer, TransformerConfig
from tests.experiments import rl_tiny
from tests.experiments.runs import steps, trained
from tests.experiments.toy_trainer import config

RL = {
  **{'completions/tokens': 60.0, 'completions/max_length': 5.0},
  'prompts/mean_length': 7.0,
}


class Accelerator:
  """Of two H100."""

  platform, device_kind = 'gpu', 'NVIDIA H100 80GB HBM3'

  def memory_stats(self):
    return {'bytes_in_use': 3, 'peak_bytes_in_use': 4, 'bytes_limit': 5}


def model(tied):
  c = dict(vocab=11, width=4, layers=2, heads=2, kv_heads=1, head_dim=3,
           mlp=5, rope_theta=1e4, tied=tied, dtype='bfloat16')  # fmt: skip
  return jax.eval_shape(
    lambda: Transformer(TransformerConfig(**c), jax.random.key(0))
  )


@pytest.mark.parametrize('tied', [True, False])
def test_the_use_of_an_accelerator(monkeypatch, tied):
  made = config()
  made.num_iterations = 2
  made.rollout.update(prompts_per_step=3, num_generations=4)
  mesh = sharding.mesh(data=1, tensor=2, devices=jax.devices()[:2])
  profiler = profiling.Profiler(made, '', mesh, model(tied))
  profiler._device = Accelerator()
  profiler._chip = targets.data_sheet(Accelerator())
  times = {'time/update': 4.0, 'time/decode': 0.5, 'time/step': 9.0}
  found = profiler.metrics(RL, times)
  # Two layers: q, k, v, out, the MLP's three, two scales; the last scale.
  layer = 4 * 6 + 4 * 3 + 4 * 3 + 6 * 4 + 3 * 4 * 5 + 2 * 4
  read = 11 * 4 + 2 * layer + 4
  flops = 2 * 6 * read * (60 + 3 * 7) / 4 / 2
  # Keys and values in bfloat16: 2 layers of 3 numbers each, of three prompts
  # of 7 tokens, and of 0 to 4 tokens in 12 rows.
  cache = sum(3 * 7 + 12 * i for i in range(5)) * (2 * 2 * 3 * 2)
  speed = (5 * 4 * read / 2 + cache / 2) / 0.5
  assert found == pytest.approx({
    'device/flops_per_second': flops,
    'device/mfu': flops / 989.4e12,
    'device/decode_bytes_per_second': speed,
    'device/decode_bandwidth_share': speed / 3352e9,
    'device/bytes_in_use': 3,
    'device/peak_bytes_in_use': 4,
  })  # fmt: skip
  assert profiler.metrics({'tokens': 10.0}, times | {'time/decode': 0.0})[
    'device/flops_per_second'
  ] == pytest.approx(2 * 6 * read * 10 / 9 / 2)


def test_the_steps_of_grpo_are_measured_and_traced(model_folder, tmp_path):
  made = rl_tiny.get_config(f'{model_folder},grpo')
  made.max_steps = 3
  made.optimizer.update(warmup_ratio=0.6, schedule='constant')
  made.profile.update(step=1, steps=1)
  rows = steps(trained(made, tmp_path).folder)
  for row in rows:
    assert row['device/flops_per_second'] > 0
    assert row['device/decode_bytes_per_second'] > 0
    assert 'device/mfu' not in row  # a CPU, whose peak is not known
    assert row['prompts/mean_length'] > 1
  for name, group in made.optimizer.groups.items():
    rates = [row[f'learning_rate/{name}'] for row in rows]
    assert rates == pytest.approx([0, group.lr / 2, group.lr])
  (trace,) = (tmp_path / 'profile').rglob('*.xplane.pb')
  content = trace.read_bytes()
  assert b'update' in content and b'train' in content
