"""The functions of a training step on the devices, for any batch and loss.

A trainer adds its loss:

    learner = make_learner(policy, mesh, config.optimizer, steps)

    @learner.jit
    def update(trainable, frozen, opt_state, batch, part):
      ...
      return learner.step(loss, trainable, opt_state, batch, slices)

    return learner.functions(mesh, config.rollout, feedback, update)
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float

from hybrid_latent import optim, sharding
from hybrid_latent.models.param_axes import param_axes
from hybrid_latent.objectives.accumulators import RunningMax, RunningMean
from hybrid_latent.objectives.base import LossInputs, token_mean
from hybrid_latent.ops.logprobs import TokenScores
from hybrid_latent.policy import Policy
from hybrid_latent.trees import combine, partition
from hybrid_latent.types import Feedback, Prompt, PyTree, Trajectory

from .actor import rollout_mesh
from .cli import Config
from .sampler import merged_for_decoding, prefill_and_decode

_log = logging.getLogger(__name__)


class StepFunctions(NamedTuple):
  """The jitted functions of a step, in the order in which they run."""

  init_optimizer: Callable  # (trained arrays) -> optimizer state
  rollout_weights: Callable  # the policy for decoding
  reshard: Callable  # it, on the mesh of sampling
  prefill: Callable
  decode: Callable
  update: Callable  # one step of the optimizer
  # For training on rollouts:
  ref_log_probs: Any = None  # of completions, under the reference
  advantages: Any = None  # the batch with its advantages
  sync_reference: Any = None  # the reference mixed with the policy


class Batch(NamedTuple):
  """Completions of an update: [u g t], with one prompt per group of g, so that
  a slice has whole groups; without prompts also [b t]."""

  prompt: Prompt
  trajectory: Trajectory  # without `steps`
  loss_mask: Bool[Array, '...']  # the tokens that count
  advantages: Float[Array, '...'] | None = None
  ref_log_probs: Float[Array, '...'] | None = None  # of the reference
  old_log_probs: Float[Array, '...'] | None = None  # before the first update
  returns: Float[Array, '...'] | None = None  # the critic's targets
  old_values: Float[Array, '...'] | None = None  # before the first update

  def flat(self) -> 'Batch':
    """The completions [b t], without prompts."""
    merged = lambda x: x.reshape(-1, *x.shape[2:])
    return jax.tree.map(merged, self._replace(prompt=None))


class Learner(NamedTuple):
  """The arrays of a policy that are trained, those that are not, and AdamW."""

  trainable: PyTree
  frozen: PyTree
  tx: optax.GradientTransformation
  shardings: tuple[PyTree, PyTree]  # of `trainable` and of the optimizer state
  learning_rates: Callable  # (optimizer state) -> that of each group

  def jit(self, update: Callable, **options: Any) -> Callable:
    """update(trainable, frozen, opt_state, ...), jitted, which donates the
    arrays that it replaces."""
    out = (*self.shardings, None)
    return jax.jit(update, donate_argnums=(0, 2), out_shardings=out, **options)

  def step(
    self,
    loss: Callable,
    trainable: PyTree,
    opt_state: PyTree,
    batch: PyTree,
    micro_batches: int,
  ) -> tuple[PyTree, PyTree, dict[str, jax.Array]]:
    """One step of AdamW on the mean of loss(trainable, rows) over a batch."""
    gradient, metrics = optim.mean_gradient(
      loss, trainable, batch, gradient_accumulation_steps=micro_batches
    )
    # Sharded like the parameters, so that no device holds all of it.
    gradient = jax.lax.with_sharding_constraint(gradient, self.shardings[0])
    metrics |= self.learning_rates(opt_state)
    return optim.finite_step(self.tx, gradient, metrics, opt_state, trainable)

  def functions(
    self,
    mesh: Mesh,
    rollout: Config,
    feedback: Feedback,
    update: Callable,
    **others: Callable,
  ) -> StepFunctions:
    """The functions of all trainers, with `update` and the `others`."""

    def rollout_weights(trainable, frozen):
      return merged_for_decoding(combine(trainable, frozen))

    weights = jax.eval_shape(rollout_weights, self.trainable, self.frozen)
    training, sampling = (
      sharding.shardings(weights, param_axes, m)
      for m in (mesh, rollout_mesh(rollout, mesh))
    )
    return StepFunctions(
      jax.jit(self.tx.init, out_shardings=self.shardings[1]),
      jax.jit(rollout_weights, out_shardings=training),
      jax.jit(lambda weights: weights, out_shardings=sampling),
      *prefill_and_decode(rollout, feedback),
      update,
      **others,
    )


def make_learner(
  policy: Policy, mesh: Mesh, optimizer: Config, steps: int
) -> Learner:
  """AdamW over the groups of `config.optimizer`, with a schedule of `steps`;
  `policy` may hold abstract arrays."""
  options = optimizer.to_dict()
  is_trained = optim.is_trained(policy, options['groups'])
  trainable, frozen = partition(policy, is_trained)
  tx = optim.adamw(trainable, steps=steps, **options)
  opt_state = jax.eval_shape(tx.init, trainable)
  shardings = sharding.shardings((trainable, opt_state), param_axes, mesh)
  rates = partial(optim.learning_rates, steps=steps, **options)
  return Learner(trainable, frozen, tx, shardings, rates)


def policy_loss(
  objective: Callable,
  scores: TokenScores,
  batch: Batch,
  values: Float[Array, 'b t'] | None = None,
) -> tuple[RunningMean, dict[str, RunningMean | RunningMax]]:
  """The objective on completions [b t], and metrics of every policy loss."""
  trajectory, mask = batch.trajectory, batch.loss_mask
  advantages: Any = batch.advantages  # None where the loss needs none
  mean, metrics = objective(
    LossInputs(
      log_probs=scores.log_probs,
      entropy=scores.entropy,
      values=values,
      loss_mask=mask,
      advantages=advantages,
      old_log_probs=batch.old_log_probs,
      rollout_log_probs=trajectory.log_probs,
      behavior_log_probs=trajectory.behavior_log_probs,
      ref_log_probs=batch.ref_log_probs,
      returns=batch.returns,
      old_values=batch.old_values,
      latent_share=trajectory.latent_share,
      terminated=trajectory.terminated,
    )
  )
  metrics |= {'entropy': token_mean(scores.entropy, mask)}
  if trajectory.log_probs is not None:  # given answers have none
    gap = jnp.abs(scores.log_probs - trajectory.log_probs)
    name = 'sampling/sampling_logp_difference'
    metrics[f'{name}/mean'] = token_mean(gap, mask)
    metrics[f'{name}/max'] = RunningMax(gap.max())
  return mean, metrics


def run_updates(
  update: Callable,
  state: tuple[PyTree, PyTree],
  frozen: PyTree,
  batch: PyTree,
  epochs: int,
  mini_batches: int,
) -> tuple[tuple[PyTree, PyTree], list[dict[str, jax.Array]]]:
  """(trained arrays, optimizer state) after `epochs` passes over the
  mini-batches, and the metrics of each update; dispatched, not waited for."""
  (trainable, opt_state), metrics = state, []
  for i in range(epochs * mini_batches):
    trainable, opt_state, of_update = update(
      trainable, frozen, opt_state, batch, i % mini_batches
    )
    metrics.append(of_update)
  return (trainable, opt_state), metrics


def merged(updates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
  """The metrics of a step from those of its updates."""
  column = lambda name: [x[name] for x in updates]
  reduce = lambda name: np.max if name.endswith('/max') else np.mean
  merged = {name: float(reduce(name)(column(name))) for name in updates[0]}
  return merged | {'skipped_updates': float(sum(column('skipped_updates')))}


def warn_uneven_microbatch(rows: int, mesh: Mesh) -> None:
  """Warns where a micro-batch does not divide evenly over the devices."""
  shares = sharding.batch_devices(mesh)
  if rows % shares:
    _log.warning(
      'a micro-batch has %d rows for data * fsdp = %d devices, some of which '
      'compute rows twice: write a gradient_accumulation_steps (and a batch) '
      'with which it has a multiple of %d',
      rows,
      shares,
      shares,
    )
