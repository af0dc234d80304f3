r"""Reinforcement learning of a policy, with any feedback and any loss.

    python -m experiments.grpo --workdir=runs/hrpo \
        --config=hrpo_gsm8k:smollm2-135m \
        --config.data.path=path/to/gsm8k --config.max_steps=3

A step samples a group of completions per prompt, grades them in worker
processes while the reference scores them, and makes `num_iterations *
num_mini_batches` updates, by default one, on exactly these trajectories. The
same command resumes a run that was stopped.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('grpo', __doc__))

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from hybrid_latent import optim, sharding
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.objectives.base import AdvantageInputs
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import rescore, state_values
from hybrid_latent.rewards.grader import Grader
from hybrid_latent.trees import combine

from .fields.named import problems_of
from .training.actor import export_model, feedback_of, needs_reference
from .training.cli import Config, configured, named
from .training.ending import print_summary
from .training.loop import Loop
from .training.rollout_files import StoredBatches, dump
from .training.rollouts import Rollouts
from .training.setup import set_up
from .training.step_functions import (
  Batch,
  make_learner,
  policy_loss,
  run_updates,
  warn_uneven_microbatch,
)


def step_functions(config: Config, mesh: Mesh, policy: Policy):
  """(trained arrays, frozen arrays, the functions of a step) of a policy, which
  may hold abstract arrays."""
  group = config.rollout.num_generations
  updates = config.num_iterations * config.num_mini_batches  # per rollout
  feedback = feedback_of(config.feedback)
  rows = config.rollout.prompts_per_step * group
  slices = config.num_mini_batches * config.gradient_accumulation_steps
  warn_uneven_microbatch(rows // slices, mesh)
  objective = configured(config.objective, 'hybrid_latent.objectives')
  advantages_of = configured(config.advantage, 'hybrid_latent.objectives')
  estimator = named('kl:estimator', 'hybrid_latent.objectives')
  divergence = estimator(config.reward_kl.estimator)
  learner = make_learner(
    policy, mesh, config.optimizer, config.max_steps * updates
  )
  score = partial(
    rescore,
    score_temperature=config.rollout.sampling.score_temperature,
    logits_chunk=config.rollout.logits_chunk,
    latent_passes=config.latent_passes,
  )

  @jax.jit
  def ref_log_probs(reference, prompt, trajectory):
    """Log-probs under the reference, whose inputs are token ids only."""
    scores = score(reference, discrete(), prompt, trajectory, latent_passes=0)
    return scores.log_probs

  @jax.jit
  def advantages(trainable, frozen, prompt, trajectory, reference, rewards):
    """The batch with its advantages, one row per group or part of a group."""
    policy, old, values, by_token = combine(trainable, frozen), None, None, None
    # NaN: the completion could not be graded, so its tokens are masked.
    mask = (
      trajectory.mask & trajectory.policy_mask & ~jnp.isnan(rewards)[:, None]
    )
    if config.rollout.mask_truncated:
      mask &= trajectory.terminated[:, None]
    if updates > 1:  # else the policy is its own old policy, at ratio 1
      old = score(policy, feedback, prompt, trajectory).log_probs
    if policy.critic:
      values = state_values(policy, feedback, prompt, trajectory)
    if config.reward_kl.beta:
      kl = divergence(trajectory.log_probs, reference)
      by_token = -config.reward_kl.beta * kl
    sampled = (trajectory.log_probs, trajectory.latent_share,
               trajectory.terminated)  # fmt: skip
    inputs = AdvantageInputs(rewards, mask, by_token, values, *sampled)
    estimates = advantages_of(inputs, group)
    # A slice has whole groups, or parts of them if there are fewer groups.
    copies = sharding.prompt_copies(len(prompt.ids), group, slices)
    grouped = lambda x: x.reshape(-1, group // copies, *x.shape[1:])
    prompt = jax.tree.map(lambda x: jnp.repeat(x, copies, axis=0), prompt)
    return Batch(prompt, *jax.tree.map(grouped, (
      trajectory, mask, estimates.values, reference, old, estimates.returns,
      values)))  # fmt: skip

  @learner.jit
  def update(trainable, frozen, opt_state, batch, part):
    """One optimizer step on mini-batch `part` of a rollout."""

    def loss(trainable, rows):
      policy, values = combine(trainable, frozen), None
      completions = rows.flat()
      given = policy, feedback, rows.prompt, completions.trajectory
      scores = score(*given)
      if policy.critic:
        values = state_values(*given)
      return policy_loss(objective, scores, completions, values)

    rows = optim.slice_of(batch, config.num_mini_batches, part)
    return learner.step(
      loss, trainable, opt_state, rows, config.gradient_accumulation_steps
    )

  @partial(jax.jit, donate_argnums=0, out_shardings=learner.shardings[0])
  def sync_reference(ref_trainable, trainable):
    """The reference mixed with the policy (TR-DPO, arXiv 2404.09656)."""
    return optax.incremental_update(
      trainable, ref_trainable, config.reference.mixup_alpha
    )

  run = learner.functions(
    mesh,
    config.rollout,
    feedback,
    update,
    ref_log_probs=ref_log_probs,
    advantages=advantages,
    sync_reference=sync_reference,
  )
  return learner.trainable, learner.frozen, run


def train(config: Config, workdir: str) -> list[dict[str, float]]:
  """Runs `config` in `workdir`, from its last checkpoint if there is one.
  Returns the metrics of its evaluations."""
  setup = set_up(config, 'grpo')
  mesh, actor, host = setup.mesh, setup.actor, jax.process_index()
  trainable, frozen, run = step_functions(config, mesh, actor.policy)
  # The reference has parameters of its own only where it follows the policy.
  has_reference = needs_reference(config)
  sync_every = config.reference.sync_steps if has_reference else 0
  ref_trainable = [jax.tree.map(jnp.copy, trainable)] if sync_every else []
  state = trainable, run.init_optimizer(trainable), *ref_trainable
  folder = config.rollout.rollout_dir
  passes = config.num_iterations, config.num_mini_batches

  def batches_of(step: int):
    if folder:
      return StoredBatches(folder, host, step)
    rows = problems_of(config.data)(split=config.data.train_split)
    return setup.prompt_batches(rows)

  feedback = feedback_of(config.feedback)
  latents = feedback is not discrete() and not feedback.prefix
  with (
    Grader(config.rewards.to_dict(), **config.grader) as grader,
    Loop(
      config,
      workdir,
      'grpo',
      mesh,
      state,
      batches_of,
      latents,
      actor.policy.model,
    ) as loop,  # fmt: skip
  ):
    del trainable, ref_trainable, state  # an update donates them
    sampler = setup.sampler(run, grader)
    max_batches = config.rollout.dynamic_sampling_max_batches
    rollouts = Rollouts(setup, loop, run, frozen, sampler, max_batches)
    evaluate = rollouts.evaluate if setup.eval_sets else None
    for step in loop.steps():
      # ------ dispatch this step's prefill, then wait for the last update
      if not folder:
        rollouts.prefill_next()
      if not (loop.settle() and loop.ready(evaluate)):
        continue
      # ------ sample
      if folder:
        *parts, rows = next(loop.batches)
        prompt, trajectory = sharding.from_host(parts, sampler.mesh)
        completions = sampler.collect(prompt, trajectory, rows)
      else:
        completions = rollouts.sample()
      if config.dump_every and step % config.dump_every == 0:
        dump(f'{workdir}/rollouts', step, host, completions)
      # ------ score under the reference, grade, update
      state, ref_trainable = loop.state[:2], loop.state[2:]
      reference = None
      if has_reference:
        reference = actor.base
        if ref_trainable:
          reference = combine(*ref_trainable, frozen)
      batch, rollout_metrics, ids = rollouts.batch(completions, reference)
      with loop.clock('update'):
        state, update_metrics = run_updates(
          run.update, state, frozen, batch, *passes
        )
        if sync_every and (step + 1) % sync_every == 0:
          ref_trainable = [run.sync_reference(*ref_trainable, state[0])]
      loop.state = *state, *ref_trainable
      loop.record_step(update_metrics, rollout_metrics, ids)
      rollouts.log_samples(step, actor.tokenizer, config.num_logged_completions)
  folders = [f'{workdir}/model'] if config.export else []
  for path in folders:
    policy, metrics = combine(loop.state[0], frozen), loop.latest_metrics
    export_model(actor, policy, path, config, loop.step, metrics)
  print_summary(loop, workdir, *folders)
  return loop.evaluations


if __name__ == '__main__':
  cli.run(train, OPTIONS)
