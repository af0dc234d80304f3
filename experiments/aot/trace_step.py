"""Traces the programs of a step of each trainer on shapes.

`python -m experiments.aot` compiles them, for machines that are not attached.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hybrid_latent import sharding
from hybrid_latent.formats.pretrained import Pretrained
from hybrid_latent.models.param_axes import param_axes
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.prompt_cache import group_cache, grown_cache
from hybrid_latent.types import Prompt, PyTree, TokenBatch

from .. import grpo as grpo_trainer
from .. import lrt as lrt_trainer
from .. import sft as sft_trainer
from ..training.actor import (
  init_policy,
  needs_ref_copy,
  needs_reference,
  policy_of,
  rollout_mesh,
  stopping_rule_of,
)
from ..training.cli import Config

Run = Callable[..., Any]  # see `grpo`


def grpo(config: Config, mesh: Mesh, source: Pretrained, run: Run) -> None:
  """A step of experiments/grpo.py on the largest batch it may see.

  `source.model` holds shapes. `run(name, program, *args, live, **kwargs)`
  compiles a program and returns the shapes of its outputs. By kind, `live` are
  the arrays that are live while it runs, its arguments included, and `internal`
  those that the program allocates itself.
  """
  policy, base = jax.eval_shape(
    lambda model, key: policy_of(config, model, source.tokenizer, key),
    source.model,
    jax.eval_shape(lambda: jax.random.key(0)),
  )
  policy, base = shaped((policy, base), mesh)
  trainable, frozen, step = grpo_trainer.step_functions(config, mesh, policy)
  held: dict = {'parameters': policy}
  if needs_ref_copy(config, policy, base):
    held['reference'] = base
  held['optimizer'] = run(
    'optimizer', step.init_optimizer, trainable, live=held
  )
  some = _sampled(config, mesh, source, run, step, trainable, frozen, held)
  reference = base if needs_reference(config) else None
  _learned(mesh, run, step, trainable, frozen, held, some, reference)


def lrt(config: Config, mesh: Mesh, source: Pretrained, run: Run) -> None:
  """A step of experiments/lrt.py, of either stage; see `grpo`."""
  policy = _adapted(config, mesh, source)
  trainable, frozen, step = lrt_trainer.step_functions(config, mesh, policy)
  held: dict = {'parameters': policy}
  reference = trainable if needs_reference(config) else None
  if reference is not None:
    held['reference'] = reference
  held['optimizer'] = run(
    'optimizer', step.init_optimizer, trainable, live=held
  )
  if config.data.sft_answers_dir:
    answers = (
      config.rollout.prompts_per_step,
      1,
      config.rollout.max_completion_length,
    )
    mask = jnp.zeros(answers, bool)
    batch = _rows(
      lambda: lrt_trainer.given_answers(
        _prompt(config), jnp.zeros(answers, int), mask), mesh)  # fmt: skip
    _updated(mesh, run, step, trainable, frozen, held, batch)
    return
  some = _sampled(config, mesh, source, run, step, trainable, frozen, held)
  _learned(mesh, run, step, trainable, frozen, held, some, reference)


def sft(config: Config, mesh: Mesh, source: Pretrained, run: Run) -> None:
  """A step of the last stage of experiments/sft.py, which has the most latents;
  see `grpo`."""
  policy = _adapted(config, mesh, source)
  trainable, frozen, step = sft_trainer.step_functions(config, mesh, policy)
  held = {'parameters': policy}
  opt_state = run('optimizer', step.init_optimizer, trainable, live=held)
  shape = config.batch_size, config.max_length
  whole, flags = jnp.zeros(shape, int), jnp.zeros(shape, bool)
  texts = _rows(
    lambda: TokenBatch(whole, whole, whole, jnp.zeros(shape), flags, flags),
    mesh,
  )
  curriculum = sft_trainer.curriculum_of(
    config.curriculum, config.feedback, source.tokenizer
  )
  with jax.set_mesh(mesh):
    run(
      'update',
      step.update,
      trainable,
      frozen,
      opt_state,
      texts,
      passes=curriculum.num_latents(len(config.stages.starts) - 1),
      live=held | {'optimizer': opt_state, 'batch': texts},
    )


def _sampled(config, mesh, source, run, step, trainable, frozen, held):
  """Prompts, completions and rewards, as they are learned from."""
  there = rollout_mesh(config.rollout, mesh)
  weights = run(
    'rollout_weights', step.rollout_weights, trainable, frozen, live=held
  )
  if there != mesh:
    weights = run('reshard', step.reshard, weights,
                  live=held | {'rollout weights': weights})  # fmt: skip
  prompt = _rows(lambda: _prompt(config), there)
  decoding = held | {'rollout weights': weights, 'batch': prompt}
  with jax.set_mesh(there):
    ready = run('prefill', step.prefill, weights, prompt, live=decoding)
    trajectory = run(
      'decode',
      step.decode,
      weights,
      prompt=prompt,
      prefilled=ready,
      key=_copies(lambda: jax.random.key(0), there),
      sampling=_copies(lambda: sampling(**config.rollout.sampling), there),
      stop=_copies(
        lambda: stopping_rule_of(config.rollout, source, source.tokenizer),
        there,
      ),
      group=config.rollout.num_generations,
      live=decoding | {'cache': ready},
      internal={'cache': _cache(config, weights.model, ready, there)},
    )
  rewards = lambda: jnp.zeros(trajectory.mask.shape[0])
  trajectory = trajectory._replace(steps=None)
  return _rows(lambda: (prompt, trajectory, rewards()), mesh)


def _learned(mesh, run, step, trainable, frozen, held, some, reference):
  """From prompts, completions and rewards to an update."""
  prompt, trajectory, reward = some
  live = held | {'batch': (prompt, trajectory)}
  with jax.set_mesh(mesh):
    if reference is not None and step.ref_log_probs:
      reference = run('ref_log_probs', step.ref_log_probs, reference, prompt,
                      trajectory, live=live)  # fmt: skip
    batch = run('advantages', step.advantages, trainable, frozen, prompt,
                trajectory, reference, reward, live=live)  # fmt: skip
  _updated(mesh, run, step, trainable, frozen, held, batch)


def _updated(mesh, run, step, trainable, frozen, held, batch):
  with jax.set_mesh(mesh):
    run('update', step.update, trainable, frozen, held['optimizer'], batch, 0,
        live=held | {'batch': batch})  # fmt: skip


def _prompt(config) -> Prompt:
  u, p = config.rollout.prompts_per_step, config.rollout.max_prompt_length
  return Prompt(jnp.zeros((u, p), int), jnp.ones((u, p), bool), jnp.arange(u))


def _adapted(config, mesh, source):
  """The shapes of a policy that has no critic."""

  def make(model, key):
    policy = init_policy(
      config.lora, config.feedback, model, source.tokenizer, key
    )
    if 'init' not in config.objective:
      return policy
    return sft_trainer.with_objective(config.objective, policy, key)

  key = jax.eval_shape(lambda: jax.random.key(0))
  return shaped(jax.eval_shape(make, source.model, key), mesh)


def shaped(tree: PyTree, mesh: Mesh) -> PyTree:
  """Shapes of parameters at their place."""
  return _placed(tree, sharding.shardings(tree, param_axes, mesh))


def _cache(config, model, ready, mesh):
  """The slots that decoding adds to the prompts, those of copies included, for
  a whole batch at the end of the loop."""
  rollout, (u, slots) = config.rollout, ready.mask.shape
  group, size = rollout.num_generations, rollout.max_completion_length

  def grown(ready):
    cache = group_cache(model, ready, group)
    cache = grown_cache(model, cache, u * group, slots + size)
    copies = [pair for pair in cache.prompt if len(pair[0]) > u]
    return cache.k, cache.v, copies

  cache = jax.eval_shape(grown, ready)
  place = lambda x: sharding.spec('b k s h', x.shape, mesh)
  where = jax.tree.map(lambda x: NamedSharding(mesh, place(x)), cache)
  return _placed(cache, where)


def _rows(make: Callable[[], PyTree], mesh: Mesh) -> PyTree:
  shapes = jax.eval_shape(make)
  return _placed(shapes, sharding.rows(shapes, mesh))


def _copies(make: Callable[[], PyTree], mesh: Mesh) -> PyTree:
  everywhere = NamedSharding(mesh, PartitionSpec())
  shapes = jax.eval_shape(make)
  return _placed(shapes, jax.tree.map(lambda _: everywhere, shapes))


def _placed(shapes, places):
  place = lambda x, at: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=at)
  return jax.tree.map(place, shapes, places)
