r"""Trains a policy by reinforcement, whatever it reads and whatever its loss.

    python -m experiments.grpo --workdir=runs/hrpo \
        --config=experiments/configs/hrpo_gsm8k.py:smollm2-135m \
        --config.data.path=../shared/data/gsm8k --config.steps=3

A step samples a group of completions for each prompt, grades them in worker
processes, scores them under the reference meanwhile, and makes one update (or
`epochs * mini_batches`) on exactly what was sampled. The same command resumes a
run that was stopped.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('grpo', __doc__))

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from hybrid_latent import cluster, metrics, optim, sharding
from hybrid_latent.data.prompts import prompt_batches
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.models.letters import letters
from hybrid_latent.objectives.base import (
  Experience,
  Judged,
  Peak,
  choice,
  token_mean,
)
from hybrid_latent.objectives.kl import ESTIMATORS
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.replay import replay, state_values
from hybrid_latent.rewards.grader import Grader, total
from hybrid_latent.trees import combine, partition
from hybrid_latent.types import Prompt, Trajectory

from .fields.check import check
from .fields.data_check import check_data
from .training.cli import Config, configured
from .training.ending import conclude
from .training.loop import Loop
from .training.policies import (
  Subject,
  exported,
  feedback_of,
  needs_reference,
  problems_of,
  prompt_ids,
  rollout_mesh,
  share_rows,
  subject,
)
from .training.rollout_files import StoredBatches, dump
from .training.sampler import Sampler, shown, speaking, speech, tests_of


class Batch(NamedTuple):
  """What the updates of a step are made on, one row a completion."""

  prompt: Prompt
  trajectory: Trajectory  # without `steps`
  reference: jax.Array | None  # f32[b t]: log-probs of the reference
  mask: jax.Array  # bool[b t]: the tokens that count
  advantages: jax.Array  # f32[b t]
  old: jax.Array | None = None  # f32[b t]: log-probs before the first update
  returns: jax.Array | None = None  # f32[b t]: what the critic learns
  values: jax.Array | None = None  # f32[b t]: what it said before


class Programs(NamedTuple):
  """What a step runs on the devices, and in this order."""

  optimizer: Callable  # (trained arrays) -> the optimizer's state of them
  sampler: Callable  # the policy as decoding wants it
  move: Callable  # it, at its place on the mesh that samples
  prefill: Callable
  decode: Callable
  reference_log_probs: Callable
  judged: Callable  # the batch with its advantages
  update: Callable  # one step of the policy
  followed: Callable  # the reference, moved toward the policy


def programs(config: Config, mesh: Mesh, policy: Policy):
  """The arrays of the policy that are trained, those that are not, and the
  programs of a step; `policy` holds arrays, or the shapes of some."""
  group, updates = config.rollout.group, config.epochs * config.mini_batches
  # --------------------------- what is trained, what is not, and the optimizer
  feedback = feedback_of(config.feedback)
  if updates > 1 and feedback is not discrete():
    raise ValueError(
      f'config.epochs * config.mini_batches is {updates}: write 1. A '
      'trajectory with latents may be trained on once, by the weights that '
      'sampled it: they made the latents, and no ratio corrects for others'
    )
  rows = config.rollout.prompts * group
  share_rows(rows // config.mini_batches // config.micro_batches, mesh)
  objective = configured(config.objective, 'hybrid_latent.objectives')
  advantages_of = configured(config.advantage, 'hybrid_latent.objectives')
  divergence = choice(
    'config.reward_kl.estimator', config.reward_kl.estimator, ESTIMATORS
  )
  hyper = config.optimizer.to_dict()
  is_trained = optim.is_trained(policy, hyper['groups'])
  trainable, frozen = partition(policy, is_trained)
  tx = optim.adamw(trainable, steps=config.steps * updates, **hyper)
  state = jax.eval_shape(tx.init, trainable)
  where = sharding.shardings((trainable, state), letters, mesh)

  # ----------------------------------------------------------------- programs
  def sampler(trainable, frozen):
    return speaking(combine(trainable, frozen))

  score = partial(
    replay,
    score_temperature=config.rollout.sampling.score_temperature,
    chunk=config.rollout.chunk,
  )

  @jax.jit
  def reference_log_probs(base, prompt, trajectory):
    """Under a model that reads token ids only."""
    return score(base, discrete(), prompt, trajectory).log_probs

  @jax.jit
  def judged(trainable, frozen, prompt, trajectory, reference, rewards):
    """The batch with its advantages."""
    policy, old, values, by_token = combine(trainable, frozen), None, None, None
    mask = trajectory.mask & trajectory.free & ~jnp.isnan(rewards)[:, None]
    if config.rollout.mask_truncated:
      mask &= trajectory.ended[:, None]
    if updates > 1:
      old = score(policy, feedback, prompt, trajectory).log_probs
    if policy.critic:
      values = state_values(policy, feedback, prompt, trajectory)
    if config.reward_kl.beta:
      kl = divergence(trajectory.log_probs, reference)
      by_token = -config.reward_kl.beta * kl
    found = advantages_of(Judged(rewards, mask, by_token, values), group)
    prompt = jax.tree.map(lambda x: jnp.repeat(x, group, axis=0), prompt)
    return Batch(prompt, trajectory, reference, mask, found.values, old,
                 found.returns, values)  # fmt: skip

  @partial(jax.jit, donate_argnums=(0, 2), out_shardings=(*where, None))
  def update(trainable, frozen, opt_state, batch, part):
    """One step of the policy on what it sampled itself."""

    def loss(trainable, rows):
      policy = combine(trainable, frozen)
      scores = score(policy, feedback, rows.prompt, rows.trajectory)
      values = None
      if policy.critic:
        values = state_values(policy, feedback, rows.prompt, rows.trajectory)
      mean, parts = objective(
        Experience(
          log_probs=scores.log_probs,
          entropy=scores.entropy,
          values=values,
          mask=rows.mask,
          advantages=rows.advantages,
          old=rows.old,
          sampler=rows.trajectory.log_probs,
          behaviour=rows.trajectory.behaviour,
          reference=rows.reference,
          returns=rows.returns,
          old_values=rows.values,
        )
      )
      gap = jnp.abs(scores.log_probs - rows.trajectory.log_probs)
      difference = 'sampling/sampling_logp_difference'
      return mean, parts | {
        'entropy': token_mean(scores.entropy, rows.mask),
        f'{difference}/mean': token_mean(gap, rows.mask),
        f'{difference}/max': Peak(gap.max()),
      }

    gradient, figures = optim.mean_gradient(
      loss,
      trainable,
      optim.slice_of(batch, config.mini_batches, part),
      micro_batches=config.micro_batches,
    )
    gradient = jax.lax.with_sharding_constraint(gradient, where[0])
    return optim.finite_step(tx, gradient, figures, opt_state, trainable)

  @partial(jax.jit, donate_argnums=0, out_shardings=where[0])
  def followed(anchor, trainable):
    """The reference, moved toward the policy (TR-DPO, arXiv 2404.09656)."""
    return optax.incremental_update(trainable, anchor, config.reference.mix)

  prefill, decode = speech(config, feedback)
  weights = jax.eval_shape(sampler, trainable, frozen)
  there = rollout_mesh(config, mesh)
  here, away = (sharding.shardings(weights, letters, m) for m in (mesh, there))
  return (
    trainable,
    frozen,
    Programs(
      jax.jit(tx.init, out_shardings=where[1]),
      jax.jit(sampler, out_shardings=here),
      jax.jit(lambda weights: weights, out_shardings=away),
      prefill,
      decode,
      reference_log_probs,
      judged,
      update,
      followed,
    ),
  )


def actor_of(config: Config, mesh: Mesh) -> Subject:
  """What a run begins with."""
  init_key, *_ = _keys(config)
  return subject(config, mesh, init_key)


def _keys(config):
  """For parameters, for the training's samples, for the evaluations'."""
  return jax.random.split(jax.random.key(config.seed), 3)


def train(config: Config, workdir: str) -> list[dict[str, float]]:
  """Runs `config` in `workdir`, from its last checkpoint if there is one.
  Returns the evaluations it made."""
  check(config, 'grpo', jax.process_count())
  check_data(config)
  group, updates = config.rollout.group, config.epochs * config.mini_batches
  _, rollout_key, eval_key = _keys(config)

  # -------------------------------------------------------- mesh, model, data
  mesh = sharding.mesh(**config.mesh)
  there = rollout_mesh(config, mesh)
  host, hosts = jax.process_index(), jax.process_count()
  actor = actor_of(config, mesh)
  trainable, frozen, run = programs(config, mesh, actor.policy)
  # The policy of some steps ago, where the reference is to follow it.
  follows = needs_reference(config) and config.reference.sync_every
  anchors = [jax.tree.map(jnp.copy, trainable)] if follows else []
  state = trainable, run.optimizer(trainable), *anchors
  encode = partial(prompt_ids, actor.tokenizer, config.data)
  prompts, pad = config.rollout.prompts // hosts, int(actor.stop.pad)
  folder = config.rollout.source

  def batches_of(step: int):
    if folder:
      return StoredBatches(folder, host, step)
    return iter(
      prompt_batches(
        problems_of(config.data)(split=config.data.train),
        encode,
        batch=prompts,
        length=config.rollout.prompt_length,
        pad=pad,
        seed=config.seed,
        shard=(host, hosts),
      )
    )

  tests = tests_of(config, encode, pad)

  def roll(step, weights, batch, prompt, ready):
    """Completions of a batch, which are being graded."""
    with clock('prefill'):
      jax.block_until_ready(ready)
    with clock('decode'):
      key = jax.random.fold_in(rollout_key, step)
      trajectory = speaker.sample(
        weights, prompt, ready, key, train_sampling, group
      )
      return speaker.rolled(prompt, trajectory, batch['rows'])

  def roll_until_uneven(step, weights, rolled):
    """More prompts, until enough have completions of different reward."""
    parts = [rolled]
    while len(parts) < config.rollout.attempts:
      if sharding.over_hosts(np.min, speaker.uneven(parts).sum()) >= prompts:
        break
      batch = next(loop.batches)
      parts.append(roll(step, weights, batch, *speaker.read(weights, batch)))
    return speaker.joined(parts)

  def evaluate():
    key = jax.random.fold_in(eval_key, step)
    return speaker.evaluation(
      weights, tests, key, eval_sampling, config.eval.samples
    )

  # --------------------------------------------------------------------- loop
  train_sampling = sampling(**config.rollout.sampling)
  eval_sampling = sampling(
    **{**config.rollout.sampling, **config.eval.sampling}
  )
  feedback = feedback_of(config.feedback)
  latents = feedback is not discrete() and not feedback.prefix
  with (
    Grader(config.rewards.to_dict(), **config.grader) as grader,
    Loop(config, workdir, 'grpo', mesh, state, batches_of, latents) as loop,
  ):
    del trainable, anchors, state
    clock, moving = loop.clock, 'move' if there != mesh else 'prefill'
    speaker = Sampler(config, there, actor, run.prefill, run.decode, grader)
    for step in loop.steps():
      # ------ dispatch this step, then look at the last one
      evaluates = tests and loop.due(config.eval.every)
      samples = not (loop.last or folder)
      with clock('prefill'):
        needed = evaluates or samples
        weights = run.sampler(loop.state[0], frozen) if needed else None
      with clock(moving):
        if there != mesh and needed:
          weights = jax.block_until_ready(run.move(weights))
      with clock('prefill'):
        if samples:
          batch = next(loop.batches)
          prompt, ready = speaker.read(weights, batch)
      if not (loop.settle() and loop.ready(evaluate if evaluates else None)):
        continue
      # ------ sample
      if folder:
        *parts, rows = next(loop.batches)
        prompt, trajectory = sharding.from_host(parts, there)
        rolled = speaker.rolled(prompt, trajectory, rows)
      else:
        rolled = roll(step, weights, batch, prompt, ready)
        if config.rollout.attempts > 1:
          rolled = roll_until_uneven(step, weights, rolled)
        del ready
      del weights
      if config.dump_every and step % config.dump_every == 0:
        dump(f'{workdir}/rollouts', step, host, rolled)
      # ------ score under the reference, while the grades are made
      trainable, opt_state, *anchors = loop.state
      with clock(moving):
        data = rolled.prompt, speaker.cut(rolled.trajectory)
        data = jax.device_put(data, sharding.rows(data, mesh))
        prompt, trajectory = jax.block_until_ready(data)
      with clock('log_probs'):
        reference = None
        if needs_reference(config):
          base = combine(*anchors, frozen) if follows else actor.base
          reference = run.reference_log_probs(base, prompt, trajectory)
          jax.block_until_ready(reference)
      with clock('reward'):
        grades = rolled.grades()
        reward = total(grades, grader.weights, group)
        out, grades, rewards, ids = cluster.all_rows(
          (rolled.out, grades, reward, sharding.to_host(prompt.ids))
        )
      # ------ learn
      with clock('update'):
        figures = []
        data = run.judged(trainable, frozen, prompt, trajectory, reference,
                          sharding.from_host(reward, mesh))  # fmt: skip
        for i in range(updates):
          trainable, opt_state, some = run.update(
            trainable, frozen, opt_state, data, i % config.mini_batches
          )
          figures.append(some)
        if follows and (step + 1) % config.reference.sync_every == 0:
          anchors = [run.followed(*anchors, trainable)]
      loop.state = trainable, opt_state, *anchors
      host_figures = {
        **metrics.completion_metrics(out),
        **metrics.reward_metrics(grades, rewards, group),
      }
      loop.learned(figures, host_figures, ids.tolist())
      loop.telemetry.completions(
        step, shown(rolled, reward, actor.tokenizer, config.completions)
      )
  written = [f'{workdir}/model'] if config.export else []
  for path in written:
    policy = combine(loop.state[0], frozen)
    figures = loop.figures | (loop.evaluations or [{}])[-1]
    exported(actor, policy, path, config, loop.step, figures)
  conclude(loop, workdir, *written)
  return loop.evaluations


if __name__ == '__main__':
  cli.run(train, OPTIONS)
