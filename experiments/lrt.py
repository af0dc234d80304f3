r"""Latent Reasoning Tuning: trains a reasoner whose latents replace thinking.

    python -m experiments.lrt --workdir=runs/lrt_sft \
        --config=lrt:MODEL,sft \
        --config.data.sft_answers_dir=runs/triples
    python -m experiments.lrt --workdir=runs/lrt_rl \
        --config=lrt:MODEL,rl \
        --config.feedback.init_kwargs.source=runs/lrt_sft/reasoner

LRT (ICLR 2026): the language model is frozen. A reasoner maps its hidden states
of the prompt to latents, which the model has as inputs before its answer; the
gradient reaches the reasoner through the model. The first stage trains on given
answers (of experiments/generate.py), the second on sampled ones, several per
prompt, with advantages within the prompt's group.

Both stages make the same update on answers to prompts; config.objective is the
loss of their log-probs. Writes WORKDIR/reasoner. The same command resumes a run
that was stopped.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('lrt', __doc__))

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hybrid_latent import cluster, optim, sharding
from hybrid_latent.formats.export_reasoner import write_reasoner
from hybrid_latent.objectives.base import AdvantageInputs
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import rescore
from hybrid_latent.rewards.grader import Grader
from hybrid_latent.trees import combine
from hybrid_latent.types import Prompt, Trajectory

from .fields.named import problems_of
from .training.actor import feedback_of, needs_reference
from .training.cli import Config, configured
from .training.ending import print_summary
from .training.loop import Loop
from .training.rollouts import Rollouts
from .training.setup import set_up
from .training.sft_answers import answer_arrays, sft_answer_rows
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
  updates = config.num_iterations * config.num_mini_batches  # per batch
  feedback = feedback_of(config.feedback)
  prompts = config.rollout.prompts_per_step
  warn_uneven_microbatch(
    prompts // config.num_mini_batches // config.gradient_accumulation_steps,
    mesh,
  )
  objective = configured(config.objective, 'hybrid_latent.objectives')
  advantages_of = configured(config.advantage, 'hybrid_latent.objectives')
  sampling_params = config.rollout.sampling
  # Given answers were not sampled: no temperature applies to them.
  temperature = (
    1.0 if config.data.sft_answers_dir else sampling_params.score_temperature
  )
  learner = make_learner(
    policy, mesh, config.optimizer, config.max_steps * updates
  )

  def score(policy, prompt, trajectory):
    """Scores of answers [b t]; latents are computed once per prompt, not per
    answer."""
    return rescore(
      policy,
      feedback,
      prompt,
      trajectory,
      score_temperature=temperature,
      logits_chunk=config.rollout.logits_chunk,
    )

  @jax.jit
  def advantages(trainable, frozen, prompt, trajectory, ref_trainable, rewards):
    """The batch with its advantages and its log-probs under the reference, one
    row per prompt, so that a slice has all answers to a prompt."""
    # NaN: the answer could not be graded, so its tokens are masked.
    mask = (
      trajectory.mask & trajectory.policy_mask & ~jnp.isnan(rewards)[:, None]
    )
    grouped = lambda x: x.reshape(-1, group, *x.shape[1:])
    # The latents are computed again: the reasoner is what is trained.
    answers = trajectory._replace(record=())
    log_probs = lambda trainable: grouped(
      score(combine(trainable, frozen), prompt, answers).log_probs
    )
    estimates = advantages_of(AdvantageInputs(rewards, mask), group)
    return Batch(
      prompt,
      *jax.tree.map(grouped, (answers, mask, estimates.values)),
      ref_log_probs=log_probs(ref_trainable) if ref_trainable else None,
      old_log_probs=log_probs(trainable) if updates > 1 else None,
    )

  @learner.jit
  def update(trainable, frozen, opt_state, batch, part):
    """One optimizer step of the reasoner on mini-batch `part`."""

    def loss(trainable, rows):
      policy, answers = combine(trainable, frozen), rows.flat()
      scores = score(policy, rows.prompt, answers.trajectory)
      return policy_loss(objective, scores, answers)

    rows = optim.slice_of(batch, config.num_mini_batches, part)
    return learner.step(
      loss, trainable, opt_state, rows, config.gradient_accumulation_steps
    )

  run = learner.functions(
    mesh, config.rollout, feedback, update, advantages=advantages
  )
  return learner.trainable, learner.frozen, run


def given_answers(prompt: Prompt, tokens: Any, mask: Any) -> Batch:
  """The batch of given answers [u 1 t], which have no log-probs of sampling."""
  unset: Any = [None] * len(Trajectory._fields)
  answers = Trajectory(*unset)._replace(tokens=tokens, mask=mask, record=())
  return Batch(prompt, answers, mask)


def train(config: Config, workdir: str) -> list[dict[str, float]]:
  """Runs `config` in `workdir`, from its last checkpoint if there is one, and
  writes the reasoner to WORKDIR/reasoner. Returns the metrics of its
  evaluations."""
  setup = set_up(config, 'lrt')
  mesh, actor, rollout = setup.mesh, setup.actor, config.rollout
  trainable, frozen, run = step_functions(config, mesh, actor.policy)
  state = trainable, run.init_optimizer(trainable)
  # The initial reasoner: the reference of the KL term.
  ref_trainable = None
  if needs_reference(config):
    ref_trainable = jax.tree.map(jnp.copy, trainable)
  supervised = bool(config.data.sft_answers_dir)
  passes = config.num_iterations, config.num_mini_batches  # over a batch

  def batches_of(step: int):
    rows = (
      sft_answer_rows(
        *(config.data, rollout, config.feedback.init_kwargs.closing),
        actor.tokenizer,
      )
      if supervised
      else problems_of(config.data)(split=config.data.train_split)
    )
    return setup.prompt_batches(rows)

  def sft_batch():
    """The next batch of given answers, its metrics and its prompt ids."""
    batch = next(loop.batches)
    prompt = Prompt(batch['tokens'], batch['mask'], batch['ids'])
    answers = answer_arrays(
      batch['rows'], rollout.max_completion_length, actor.pad_id
    )
    data = sharding.from_host(given_answers(prompt, *answers), mesh)
    ids = cluster.all_rows(batch['ids']).tolist()
    return data, {'tokens': data.loss_mask.sum()}, ids

  with (
    Grader(config.rewards.to_dict(), **config.grader) as grader,
    Loop(
      config, workdir, 'lrt', mesh, state, batches_of, model=actor.policy.model
    ) as loop,  # fmt: skip
  ):
    del trainable, state  # an update donates them
    sampler = setup.sampler(run, grader)
    rollouts = Rollouts(setup, loop, run, frozen, sampler)
    evaluate = rollouts.evaluate if setup.eval_sets else None
    for step in loop.steps():
      # ------ dispatch this step's inputs, then wait for the last update
      given = sft_batch() if supervised and not loop.last else None
      if not supervised:
        rollouts.prefill_next()
      if not (loop.settle() and loop.ready(evaluate)):
        continue
      # ------ sample, update
      batch, metrics, ids = given or rollouts.batch(
        rollouts.sample(), ref_trainable
      )
      with loop.clock('update'):
        loop.state, update_metrics = run_updates(
          run.update, loop.state, frozen, batch, *passes
        )
      loop.record_step(update_metrics, metrics, ids)
      if not supervised:
        rollouts.log_samples(
          step, actor.tokenizer, config.num_logged_completions
        )
  write_reasoner(combine(loop.state[0], frozen).feedback, f'{workdir}/reasoner')
  print_summary(loop, workdir, f'{workdir}/reasoner')
  return loop.evaluations


if __name__ == '__main__':
  cli.run(train, OPTIONS)
