"""A trainer without a model: w follows the numbers of its data by AdamW. All
that it shares with the others, `training/loop.py`, is the real one."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from experiments.configs import rl
from experiments.training.loop import Loop
from hybrid_latent import optim, sharding
from hybrid_latent.objectives.accumulators import RunningMean


def config(**changes) -> ConfigDict:
  """Eight steps, a checkpoint every three; `changes` as a__b for a.b."""
  base = rl.defaults('none')
  fields = ('nonfinite', 'alarms', 'checkpoint', 'rollout', 'data', 'trackers',
            'profile')  # fmt: skip
  made = ConfigDict({name: base[name] for name in fields})
  made.max_steps, made.updates, made.rollout.max_completion_length = 8, 1, 32
  made.checkpoint.update(every=3, keep=9)
  made.data.update(function='arithmetic:problems', path='')
  made.data.kwargs = dict(count=4, steps=(1, 2), largest=9)
  named = {name.replace('__', '.'): x for name, x in changes.items()}
  made.update_from_flattened_dict(named)
  return made


class Numbers:
  """Batches of four numbers: 0 0 0 0, 1 1 1 1, ... NaN where `bad`."""

  def __init__(self, bad):
    self.bad, self.next = set(bad), 0

  def __next__(self):
    self.next += 1
    number = np.nan if self.next - 1 in self.bad else self.next - 1
    return np.full(4, number, np.float32)

  def get_state(self):
    return {'next': self.next}

  def set_state(self, state):
    self.next = state['next']


def train(
  config,
  workdir,
  bad=(),
  ruinous=(),
  more=lambda step: {},
  killed_at=None,
  latents=False,
) -> list[int]:
  """The numbers that it was trained on. Those in `bad` give a loss that is NaN,
  those in `ruinous` a rate that is; `more` are metrics of a step; the run is
  killed before the update of step `killed_at`."""
  mesh, params = sharding.mesh(data=-1), {'w': jnp.zeros(2)}
  groups = {'all': {'pattern': 'w', 'lr': 0.1, 'weight_decay': 0.0}}
  tx = optim.adamw(
    params, groups, steps=100, schedule='constant', warmup_ratio=0.0
  )
  scaled = lambda rate: optax.chain(tx, optax.scale(rate))

  @partial(jax.jit, donate_argnums=(0, 1))
  def update(params, opt_state, batch, rate):
    def loss(params, rows):
      gap = params['w'].sum() - rows
      return RunningMean(jnp.sum(gap**2), jnp.float32(rows.size)), {}

    gradient, some = optim.mean_gradient(
      loss, params, batch, gradient_accumulation_steps=2
    )
    return optim.finite_step(scaled(rate), gradient, some, opt_state, params)

  state = params, scaled(1.0).init(params)
  seen, everywhere = [], NamedSharding(mesh, PartitionSpec())
  state = jax.device_put(state, everywhere)
  batches_of = lambda step: Numbers(bad)
  with Loop(
    config, str(workdir), 'toy', mesh, state, batches_of, latents
  ) as loop:
    for step in loop.steps():
      batch = None if loop.last else next(loop.batches)
      if not (loop.settle() and loop.ready()):
        continue
      if step == killed_at:
        raise KeyboardInterrupt
      number = loop.batches.next - 1
      rate = jnp.float32(np.nan if number in ruinous else 1)
      every = []
      for _ in range(config.updates):
        *state, some = update(*loop.state, batch, rate)
        loop.state = tuple(state)
        every.append(some)
      seen.append(number)
      loop.record_step(every, {'tokens': batch.size} | more(step), [number])
  return seen


def metrics(workdir) -> list[dict]:
  """Of its steps, without what measures time."""
  rows = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
  timed = 'time/', 'device/', 'tokens_per_second', 'compilations'
  return [{k: x for k, x in r.items() if not k.startswith(timed)} for r in rows]
