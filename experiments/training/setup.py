"""The start of a trainer: config check, keys, model and prompts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Key

from hybrid_latent import sharding
from hybrid_latent.data.prompts import Encode, prompt_batches
from hybrid_latent.policy import Policy
from hybrid_latent.rewards.grader import Grader

from ..fields.check import check, check_trackers
from ..fields.data_check import check_data
from ..fields.eval_datasets import eval_datasets
from ..fields.model import warn_of_untrained
from .actor import Actor, load_actor, rollout_mesh
from .cli import Config
from .prompts import eval_batches_of, prompt_ids
from .sampler import Sampler, eval_sampling
from .step_functions import StepFunctions


class Keys(NamedTuple):
  """The root PRNG keys of a run."""

  init: Key[Array, '']  # of parameters
  rollout: Key[Array, '']
  evaluation: Key[Array, '']


class Setup(NamedTuple):
  """The objects that all trainers need."""

  config: Config
  mesh: Mesh
  keys: Keys
  actor: Actor
  encode: Encode  # (row) -> token ids of its prompt
  # By data set, '' for config.data: its rewards, and its batches of this host.
  eval_sets: dict[str, tuple[Mapping, list[dict]]]

  def prompt_batches(self, rows: Sequence[dict]) -> Any:
    """Endless batches of this host; all hosts together have
    `rollout.prompts_per_step` prompts per batch."""
    rollout, hosts = self.config.rollout, jax.process_count()
    return iter(
      prompt_batches(
        rows,
        self.encode,
        batch=rollout.prompts_per_step // hosts,
        length=rollout.max_prompt_length,
        pad=self.actor.pad_id,
        seed=self.config.seed,
        shard=(jax.process_index(), hosts),
      )
    )

  def sampler(self, run: StepFunctions, grader: Grader) -> Sampler:
    """The sampler of completions, on the mesh of sampling."""
    rollout = self.config.rollout
    mesh = rollout_mesh(rollout, self.mesh)
    functions = run.prefill, run.decode
    return Sampler(
      rollout, self.config.data, mesh, self.actor, *functions, grader
    )

  def evaluation(
    self, sampler: Sampler
  ) -> Callable[[Policy, int], dict[str, float]]:
    """(weights, step) -> metrics of the evaluation of `config.eval`."""
    config, stop = self.config.eval, self.actor.stop
    params = eval_sampling(self.config.rollout, config)
    # The limit of thinking may differ from that of training.
    limit = config.max_thinking_tokens or stop.max_thinking_tokens
    stop = stop._replace(max_thinking_tokens=jnp.int32(limit))

    def evaluate(weights: Policy, step: int) -> dict[str, float]:
      key = jax.random.fold_in(self.keys.evaluation, step)
      how = key, params, config.num_generations, stop
      result = {}
      for name, (rewards, batches) in self.eval_sets.items():
        if not name:
          result |= sampler.evaluate(weights, batches, *how)
          continue
        with Grader(rewards, **self.config.grader) as grader:
          other = sampler.with_grader(grader)
          result |= other.evaluate(weights, batches, *how, f'eval/{name}/')
      return result

    return evaluate


def set_up(config: Config, trainer: str) -> Setup:
  """Checks the config and its data, then loads the model. ValueError, before
  that, for what this trainer cannot run."""
  check(config, trainer, jax.process_count())
  check_trackers(config)
  check_data(config)
  mesh, keys = sharding.mesh(**config.mesh), run_keys(config.seed, trainer)
  actor = load_actor(config, mesh, keys.init)
  warn_of_untrained(config, actor.policy.feedback)
  encode = partial(prompt_ids, actor.tokenizer, config.data)
  how = config.rollout, config.eval, encode, actor.pad_id
  eval_sets = {
    name: (rewards, eval_batches_of(rows, *how))
    for name, (rewards, rows) in eval_datasets(config).items()
  }
  return Setup(config, mesh, keys, actor, encode, eval_sets)


def run_keys(seed: int, trainer: str = 'grpo') -> Keys:
  """The root keys of a run. Checkpoints depend on their split, so `sft` keeps
  one that differs from that of the others."""
  if trainer == 'sft':
    root = jax.random.key(seed)
    return Keys(root, root, jax.random.key(seed + 1))
  return Keys(*jax.random.split(jax.random.key(seed), 3))
