"""The rollouts of RL: prefill, sampling, grading, and the batch of an update.

The prefill of the next prompts is dispatched before the last update has ended,
and completions are scored under the reference while worker processes grade
them.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from hybrid_latent import cluster, metrics, sharding
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.rewards.grader import total
from hybrid_latent.types import PyTree

from .loop import Loop, Metrics
from .sampler import RolloutBatch, Sampler
from .setup import Setup
from .step_functions import Batch, StepFunctions


class Rollouts:
  """Rollouts of the weights in `loop.state`.

  Args:
    frozen: the arrays of the policy that are not trained.
    sampler: on the mesh of sampling, which may differ from that of training.
    max_batches: of dynamic sampling; 1: no prompt is filtered.
  """

  def __init__(
    self,
    setup: Setup,
    loop: Loop,
    run: StepFunctions,
    frozen: PyTree,
    sampler: Sampler,
    max_batches: int = 1,
  ):
    rollout = setup.config.rollout
    self._mesh, self._key = setup.mesh, setup.keys.rollout
    self._loop, self._run, self._frozen = loop, run, frozen
    self._sampler, self._evaluation = sampler, setup.evaluation(sampler)
    self._group = rollout.num_generations
    self._prompts = rollout.prompts_per_step
    self._params, self._max_batches = sampling(**rollout.sampling), max_batches
    self._resharding = 'move' if sampler.mesh != setup.mesh else 'prefill'
    self._weights: Any = None
    self._ready: Any = None
    self._graded: Any = None

  def evaluate(self) -> Metrics:
    """The metrics of the present policy."""
    return self._evaluation(self.weights(), self._loop.step)

  def weights(self) -> Policy:
    """The policy laid out for decoding, on the mesh of sampling."""
    if self._weights is not None:
      return self._weights
    clock = self._loop.clock
    with clock('prefill'):
      weights = self._run.rollout_weights(self._loop.state[0], self._frozen)
    if self._sampler.mesh != self._mesh:
      with clock('move'):
        weights = jax.block_until_ready(self._run.reshard(weights))
    return weights

  def prefill_next(self) -> None:
    """Dispatches the prefill of the next prompts, unless the run is over."""
    self._weights = self._ready = None
    if self._loop.last:
      return
    self._weights = self.weights()
    with self._loop.clock('prefill'):
      batch = next(self._loop.batches)
      self._ready = batch, *self._sampler.prefill(self._weights, batch)

  def sample(self) -> RolloutBatch:
    """Completions of the prefilled prompts; their grading has begun.

    Dynamic sampling (DAPO, arXiv 2503.14476) samples more prompts until enough
    of them have completions of different rewards.
    """
    parts, needed = [self._sample(0, *self._ready)], self._prompts
    rewards = self._sampler.grader.weights, self._group
    self._ready = None
    while len(parts) < self._max_batches:
      usable = nonzero_std_groups(parts, *rewards).sum()
      # Every host has as many prompts, so the one with the fewest decides.
      if sharding.over_hosts(np.min, usable) >= needed // jax.process_count():
        break
      batch = next(self._loop.batches)
      ready = self._sampler.prefill(self._weights, batch)
      parts.append(self._sample(len(parts), batch, *ready))
    self._weights = None  # the update needs the memory
    return select_groups(parts, *rewards, self._sampler.mesh)

  def _sample(self, part, batch, prompt, prefilled) -> RolloutBatch:
    clock = self._loop.clock
    with clock('prefill'):
      jax.block_until_ready(prefilled)
    with clock('decode'):
      key = jax.random.fold_in(self._key, self._loop.step)
      if part:  # its prompts may be those of the first part
        key = jax.random.fold_in(key, part)
      trajectory = self._sampler.sample(
        self._weights, prompt, prefilled, key, self._params, self._group
      )
      return self._sampler.collect(prompt, trajectory, batch['rows'])

  def batch(
    self, completions: RolloutBatch, reference: Any = None
  ) -> tuple[Batch, Metrics, list[int]]:
    """The batch of the updates, the metrics of the rollout and its prompt ids.
    `reference` is that of the KL term: the first argument of `ref_log_probs`
    or, for a trainer without one, an argument of `advantages`."""
    clock, run = self._loop.clock, self._run
    with clock(self._resharding):
      data = completions.prompt, self._sampler.trim(completions.trajectory)
      data = jax.device_put(data, sharding.rows(data, self._mesh))
      prompt, trajectory = jax.block_until_ready(data)
    with clock('log_probs'):  # meanwhile the workers grade
      if run.ref_log_probs and reference is not None:
        reference = run.ref_log_probs(reference, prompt, trajectory)
        jax.block_until_ready(reference)
    with clock('reward'):
      grades = completions.grades()
      reward = total(grades, self._sampler.grader.weights, self._group)
      asked = sharding.to_host((prompt.mask.sum(-1), prompt.ids))
      out, grades, rewards, (lengths, ids) = cluster.all_rows(
        (completions.out, grades, reward, asked)
      )
    with clock('update'):
      batch = run.advantages(
        *(self._loop.state[0], self._frozen, prompt, trajectory, reference),
        sharding.from_host(reward, self._mesh),
      )
    self._graded = completions, reward
    rollout_metrics = {
      **metrics.completion_metrics(out),
      'prompts/mean_length': float(lengths.mean()),
      **metrics.reward_metrics(grades, rewards, self._group),
    }
    return batch, rollout_metrics, ids.tolist()

  def log_samples(self, step: int, tokenizer, count: int) -> None:
    """Writes some completions of the last batch to completions.jsonl."""
    completions, reward = self._graded
    rows = sample_rows(completions, reward, tokenizer, count)
    self._loop.telemetry.completions(step, rows)


def nonzero_std_groups(
  parts: Sequence[RolloutBatch], weights: Mapping[str, float], group: int
) -> Bool[np.ndarray, 'u']:
  """The prompts of all parts whose completions have different rewards."""
  rewards = [total(part.grades(), weights, group) for part in parts]
  return ~metrics.zero_std_groups(np.concatenate(rewards), group)


def select_groups(
  parts: Sequence[RolloutBatch],
  weights: Mapping[str, float],
  group: int,
  mesh: Mesh,
) -> RolloutBatch:
  """As many prompts as one part has, those whose completions have different
  rewards first (DAPO, arXiv 2503.14476)."""
  if len(parts) == 1:
    return parts[0]
  count = len(parts[0].rows)
  # Stable: among equals the order of the data.
  uneven = nonzero_std_groups(parts, weights, group)
  chosen = np.argsort(~uneven, kind='stable')[:count]
  members = (chosen[:, None] * group + np.arange(group)).reshape(-1)
  pick = lambda index, trees: jax.tree.map(
    lambda *arrays: np.concatenate(arrays)[index], *trees
  )
  record = [part.trajectory._replace(steps=()) for part in parts]
  prompt = pick(chosen, sharding.to_host([part.prompt for part in parts]))
  trajectory = pick(members, sharding.to_host(record))
  grades = pick(members, [part.grades() for part in parts])
  rows = [row for part in parts for row in part.rows]
  texts = [text for part in parts for text in part.texts]
  steps = jnp.max(jnp.array([part.trajectory.steps for part in parts]))
  prompts, on_mesh = sharding.from_host((prompt, trajectory), mesh)
  return RolloutBatch(
    prompts,
    on_mesh._replace(steps=steps),
    trajectory._replace(record=()),
    [rows[i] for i in chosen],
    [texts[i] for i in members],
    lambda: grades,
  )


def sample_rows(
  batch: RolloutBatch, reward: Float[np.ndarray, 'b'], tokenizer, count: int
) -> list[dict]:
  """The first completion of the first `count` prompts, as text."""
  samples, out = [], batch.out
  group = len(reward) // len(batch.rows)
  for i, row in zip(
    itertools.count(0, group), batch.rows[:count], strict=False
  ):
    ids = out.tokens[i][out.mask[i]].tolist()
    samples.append(
      {
        'prompt': row['question'],
        'completion': batch.texts[i],
        'tokens': [tokenizer.decode([token]) for token in ids],
        'latent': np.round(out.latent_share[i][out.mask[i]], 4).tolist(),
        'reward': float(reward[i]),
        'answer': row['answer'],
      }
    )
  return samples
