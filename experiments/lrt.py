r"""Latent Reasoning Tuning: trains a network whose latents stand for thinking.

    python -m experiments.lrt --workdir=runs/lrt_sft \
        --config=experiments/configs/lrt.py:MODEL,sft \
        --config.data.triples=runs/triples
    python -m experiments.lrt --workdir=runs/lrt_rl \
        --config=experiments/configs/lrt.py:MODEL,rl \
        --config.feedback.initial.source=runs/lrt_sft/reasoner

LRT (ICLR 2026): the model stays as it is. A reasoner reads what the model made
of a prompt and gives it latents to read before it answers; the gradient reaches
the reasoner through the model. In the first stage the answers are given (those
of experiments/generate.py), in the second they are sampled and judged against
each other, several to the latents of a prompt.

Both are one update on answers to prompts; config.objective says what is made of
their log-probabilities. Writes WORKDIR/reasoner. The same command resumes a run
that was stopped.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('lrt', __doc__))

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hybrid_latent import cluster, metrics, optim, sharding
from hybrid_latent.data.prompts import prompt_batches
from hybrid_latent.formats.export_reasoner import write_reasoner
from hybrid_latent.models.letters import letters
from hybrid_latent.objectives.base import (
  Experience,
  Judged,
  Peak,
  token_mean,
)
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.replay import replay
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
  feedback_of,
  needs_reference,
  problems_of,
  prompt_ids,
  rollout_mesh,
  share_rows,
  subject,
)
from .training.sampler import Sampler, shown, speaking, speech, tests_of
from .training.sft_answers import answered, given

Rows = jax.Array | np.ndarray


class Batch(NamedTuple):
  """What the updates of a step are made on, a row a prompt."""

  prompt: Prompt
  tokens: Rows  # i32[u g t]: its answers
  spoken: Rows  # bool[u g t]: up to their end
  mask: Rows  # bool[u g t]: the tokens that count
  # f32[u g t] each, where the answers were sampled:
  sampler: Rows | None = None  # their log-probs
  behaviour: Rows | None = None  # of the filtered distribution
  advantages: Rows | None = None
  reference: Rows | None = None  # log-probs of the reasoner at the start
  old: Rows | None = None  # log-probs before the first update


class Programs(NamedTuple):
  """What a step runs on the devices, and in this order."""

  optimizer: Callable  # (trained arrays) -> the optimizer's state of them
  sampler: Callable  # the policy as decoding wants it
  move: Callable  # it, at its place on the mesh that samples
  prefill: Callable
  decode: Callable
  judged: Callable  # sampled answers as a batch
  update: Callable  # one step of the reasoner


def programs(config: Config, mesh: Mesh, policy: Policy):
  """The arrays of the policy that are trained, those that are not, and the
  programs of a step; `policy` holds arrays, or the shapes of some."""
  group, updates = config.rollout.group, config.epochs * config.mini_batches
  # --------------------------- what is trained, what is not, and the optimizer
  feedback = feedback_of(config.feedback)
  share_rows(
    config.rollout.prompts // config.mini_batches // config.micro_batches, mesh
  )
  objective = configured(config.objective, 'hybrid_latent.objectives')
  advantages_of = configured(config.advantage, 'hybrid_latent.objectives')
  how, hyper = config.rollout.sampling, config.optimizer.to_dict()
  temperature = 1.0 if config.data.triples else how.score_temperature
  trainable, frozen = partition(
    policy, optim.is_trained(policy, hyper['groups'])
  )
  tx = optim.adamw(trainable, steps=config.steps * updates, **hyper)
  state = jax.eval_shape(tx.init, trainable)
  where = sharding.shardings((trainable, state), letters, mesh)

  # ----------------------------------------------------------------- programs
  def sampler(trainable, frozen):
    return speaking(combine(trainable, frozen))

  def score(policy, batch):
    """Of the answers, a row each; the latents of a prompt are made once."""
    nothing: Any = [None] * len(Trajectory._fields)
    answers = Trajectory(*nothing)._replace(
      tokens=_flat(batch.tokens), mask=_flat(batch.spoken), record=()
    )
    return replay(
      policy,
      feedback,
      batch.prompt,
      answers,
      score_temperature=temperature,
      chunk=config.rollout.chunk,
    )

  @jax.jit
  def judged(trainable, anchor, frozen, prompt, trajectory, rewards):
    """The batch with its advantages, and with what the reference says."""
    mask = trajectory.mask & trajectory.free & ~jnp.isnan(rewards)[:, None]
    grouped = lambda x: x.reshape(-1, group, *x.shape[1:])
    tokens, spoken = trajectory.tokens, trajectory.mask
    batch = Batch(prompt, *map(grouped, (tokens, spoken, mask)))
    log_probs = lambda some: grouped(
      score(combine(some, frozen), batch).log_probs
    )
    found = advantages_of(Judged(rewards, mask), group)
    return batch._replace(
      sampler=grouped(trajectory.log_probs),
      behaviour=grouped(trajectory.behaviour),
      advantages=grouped(found.values),
      reference=None if anchor is None else log_probs(anchor),
      old=log_probs(trainable) if updates > 1 else None,
    )

  @partial(jax.jit, donate_argnums=(0, 2), out_shardings=(*where, None))
  def update(trainable, frozen, opt_state, batch, part):
    """One step of the reasoner on answers to its latents."""

    def loss(trainable, rows):
      scores = score(combine(trainable, frozen), rows)
      said = jax.tree.map(_flat, rows._replace(prompt=None))
      mean, parts = objective(
        Experience(
          log_probs=scores.log_probs,
          entropy=scores.entropy,
          values=None,
          mask=said.mask,
          advantages=said.advantages,
          old=said.old,
          sampler=said.sampler,
          behaviour=said.behaviour,
          reference=said.reference,
        )
      )
      parts |= {'entropy': token_mean(scores.entropy, said.mask)}
      if said.sampler is not None:
        gap = jnp.abs(scores.log_probs - said.sampler)
        difference = 'sampling/sampling_logp_difference'
        parts[f'{difference}/mean'] = token_mean(gap, said.mask)
        parts[f'{difference}/max'] = Peak(gap.max())
      return mean, parts

    gradient, figures = optim.mean_gradient(
      loss,
      trainable,
      optim.slice_of(batch, config.mini_batches, part),
      micro_batches=config.micro_batches,
    )
    gradient = jax.lax.with_sharding_constraint(gradient, where[0])
    return optim.finite_step(tx, gradient, figures, opt_state, trainable)

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
      *speech(config, feedback),
      judged,
      update,
    ),
  )


def _flat(x):
  """[u g ...] -> [b ...]"""
  return x.reshape(-1, *x.shape[2:])


def actor_of(config: Config, mesh: Mesh) -> Subject:
  """What a run begins with."""
  init_key, *_ = _keys(config)
  return subject(config, mesh, init_key)


def _keys(config):
  """For parameters, for the training's samples, for the evaluations'."""
  return jax.random.split(jax.random.key(config.seed), 3)


def train(config: Config, workdir: str) -> list[dict[str, float]]:
  """Runs `config` in `workdir`, from its last checkpoint if there is one, and
  writes the reasoner to WORKDIR/reasoner. Returns the evaluations it made."""
  check(config, 'lrt', jax.process_count())
  check_data(config)
  rollout, updates = config.rollout, config.epochs * config.mini_batches
  _, rollout_key, eval_key = _keys(config)

  # -------------------------------------------------------- mesh, model, data
  mesh = sharding.mesh(**config.mesh)
  there = rollout_mesh(config, mesh)
  host, hosts = jax.process_index(), jax.process_count()
  actor = actor_of(config, mesh)
  trainable, frozen, run = programs(config, mesh, actor.policy)
  state = trainable, run.optimizer(trainable)
  # Those that a KL term keeps the reasoner close to: as it was at the start.
  anchor = None
  if needs_reference(config):
    anchor = jax.tree.map(jnp.copy, trainable)
  encode = partial(prompt_ids, actor.tokenizer, config.data)
  pad = int(actor.stop.pad)

  def batches_of(step: int):
    rows = (
      answered(config, actor.tokenizer)
      if config.data.triples
      else problems_of(config.data)(split=config.data.train)
    )
    return iter(
      prompt_batches(
        rows,
        encode,
        batch=rollout.prompts // hosts,
        length=rollout.prompt_length,
        pad=pad,
        seed=config.seed,
        shard=(host, hosts),
      )
    )

  tests = tests_of(config, encode, pad)

  def taught(batch):
    """The batch of answers that are given."""
    prompt = Prompt(batch['tokens'], batch['mask'], batch['ids'])
    tokens, mask = given(batch['rows'], rollout.max_tokens, pad)
    data = sharding.from_host(Batch(prompt, tokens, mask, mask), mesh)
    return data, {'tokens': data.mask.sum()}

  def sampled(step, batch):
    """The batch of answers that are sampled and graded."""
    with clock('prefill'):
      weights = speaker_weights()
      prompt, ready = speaker.read(weights, batch)
      jax.block_until_ready(ready)
    with clock('decode'):
      key = jax.random.fold_in(rollout_key, step)
      trajectory = speaker.sample(
        weights, prompt, ready, key, train_sampling, rollout.group
      )
      rolled = speaker.rolled(prompt, trajectory, batch['rows'])
    with clock('reward'):
      grades = rolled.grades()
      reward = total(grades, grader.weights, rollout.group)
      out, grades, rewards = cluster.all_rows((rolled.out, grades, reward))
    with clock('log_probs'):
      data = rolled.prompt, speaker.cut(rolled.trajectory)
      data = jax.device_put(data, sharding.rows(data, mesh))
      data = run.judged(loop.state[0], anchor, frozen, *data,
                        sharding.from_host(reward, mesh))  # fmt: skip
      jax.block_until_ready(data)
    loop.telemetry.completions(
      step, shown(rolled, reward, actor.tokenizer, config.completions)
    )
    return data, {
      **metrics.completion_metrics(out),
      **metrics.reward_metrics(grades, rewards, rollout.group),
    }

  def speaker_weights():
    """The policy where it samples, as decoding wants it."""
    weights = run.sampler(loop.state[0], frozen)
    return run.move(weights) if there != mesh else weights

  def evaluate():
    key = jax.random.fold_in(eval_key, step)
    return speaker.evaluation(
      speaker_weights(), tests, key, eval_sampling, config.eval.samples
    )

  # --------------------------------------------------------------------- loop
  train_sampling = sampling(**rollout.sampling)
  eval_sampling = sampling(**{**rollout.sampling, **config.eval.sampling})
  with (
    Grader(config.rewards.to_dict(), **config.grader) as grader,
    Loop(config, workdir, 'lrt', mesh, state, batches_of) as loop,
  ):
    del trainable, state
    clock = loop.clock
    speaker = Sampler(config, there, actor, run.prefill, run.decode, grader)
    for step in loop.steps():
      batch: Any = None if loop.last else next(loop.batches)
      evaluates = tests and loop.due(config.eval.every)
      if not (loop.settle() and loop.ready(evaluate if evaluates else None)):
        continue
      data, host_figures = (
        taught(batch) if config.data.triples else sampled(step, batch)
      )
      (trainable, opt_state), figures = loop.state, []
      for i in range(updates):
        trainable, opt_state, some = run.update(
          trainable, frozen, opt_state, data, i % config.mini_batches
        )
        figures.append(some)
      loop.state = trainable, opt_state
      prompts = cluster.all_rows(batch['ids']).tolist()
      loop.learned(figures, host_figures, prompts)
  write_reasoner(combine(loop.state[0], frozen).feedback, f'{workdir}/reasoner')
  conclude(loop, workdir, f'{workdir}/reasoner')
  return loop.evaluations


if __name__ == '__main__':
  cli.run(train, OPTIONS)
