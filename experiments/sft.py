r"""Supervised fine-tuning on worked solutions, as text or with latents.

    python -m experiments.sft --workdir=runs/sft \
        --config=sft_arithmetic:FOLDER

A curriculum (hybrid_latent/curricula/) makes the examples of each stage. At
latent positions the input is the model's own hidden state, and the gradient
flows through it. Writes a Hugging Face folder, `WORKDIR/model`, at the end. The
same command resumes a run that was stopped.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('sft', __doc__))

import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import sub
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hybrid_latent import latents, sharding
from hybrid_latent.curricula.base import Curriculum
from hybrid_latent.data.documents import document_batches, passes_of
from hybrid_latent.objectives.base import token_mean
from hybrid_latent.objectives.supervised import SupervisedInputs, loss_weights
from hybrid_latent.policy import Policy, positions_and_mask
from hybrid_latent.rewards.grader import Grader
from hybrid_latent.trees import combine
from hybrid_latent.types import TokenBatch

from .fields.named import composed, problems_of
from .training.actor import export_model, feedback_of, shard
from .training.cli import Config, named
from .training.ending import print_summary
from .training.loop import Loop
from .training.setup import set_up
from .training.step_functions import make_learner, warn_uneven_microbatch


def step_functions(config: Config, mesh: Mesh, policy: Policy):
  """(trained arrays, frozen arrays, the functions of a step) of a policy, which
  may hold abstract arrays."""
  slices = config.gradient_accumulation_steps
  objective = composed(config.objective, 'hybrid_latent.objectives')
  warn_uneven_microbatch(config.batch_size // slices, mesh)
  feedback = feedback_of(config.feedback)
  learner = make_learner(
    policy, mesh, config.optimizer, horizon(config.stages, config.max_steps)
  )

  def update(trainable, frozen, opt_state, texts, passes):
    """One step on a batch whose texts have up to `passes` latents each."""

    def loss(trainable, part):
      (texts, weights), policy = part, combine(trainable, frozen)
      x = latents.inputs_with_latents(
        policy,
        texts,
        feedback.latent_from_hidden,
        passes=passes,
        bptt_steps=config.bptt_steps,
      )
      score = lambda model, hidden: latents.score_tokens(
        model, texts, hidden, logits_chunk=config.logits_chunk
      )
      layout = positions_and_mask(policy, texts.segments)
      inputs = SupervisedInputs(
        policy, texts, x, layout, weights, slices, score
      )
      mean, metrics = objective(inputs)
      norms, written = jnp.linalg.norm(x, axis=-1), texts.segments > 0
      metrics |= {
        'tokens': inputs.mean(jnp.sum(written)),
        'embedding_norm': token_mean(norms, written & ~texts.latent),
      }
      if passes:
        metrics['latent_norm'] = token_mean(norms, texts.latent)
      return mean, metrics

    # Weights over the targets of the whole batch, before it is sliced.
    batch = texts, loss_weights(texts)
    return learner.step(loss, trainable, opt_state, batch, slices)

  update = learner.jit(update, static_argnames='passes')
  run = learner.functions(mesh, config.rollout, feedback, update)
  return learner.trainable, learner.frozen, run


def horizon(stages: Config, steps: int) -> int:
  """Steps of the schedule: all, or the longest stage where each resets it."""
  if not stages.reset_optimizer:
    return steps
  return max(map(sub, [*stages.starts[1:], steps], stages.starts))


def with_objective(objective: Config, policy: Policy, key) -> Policy:
  """The policy with the new parameters of its loss, if it has some."""
  if not objective.init:
    return policy
  make = named(objective.init, 'hybrid_latent.objectives')
  return policy._replace(objective=make(key, policy, **objective.init_kwargs))


def curriculum_of(
  curriculum: Config, feedback: Config, tokenizer
) -> Curriculum:
  """The examples of `config.curriculum`."""
  make = named(curriculum.function, 'hybrid_latent.curricula')
  examples = make(tokenizer, **curriculum.kwargs)
  if examples.spans(0) and not feedback.init:
    raise ValueError(
      f'config.curriculum.function is {curriculum.function!r}, whose '
      'latents are in spans, and config.feedback.init is empty: write '
      "feedback.function='switching:switching' and "
      "feedback.init='switching:spans'"
    )
  return examples


def train_rows(data: Config) -> Sequence[dict]:
  """The training rows: those of `data.step_entropy_dir`, with the entropies of
  experiments.step_entropy, else those of `data.function`."""
  if data.step_entropy_dir:
    rows = named('jsonl:problems', 'hybrid_latent.data')
    return rows('steps', data.step_entropy_dir, 'train')
  return problems_of(data)(split=data.train_split)


def train(config: Config, workdir: str) -> list[dict[str, float]]:
  """Runs `config` in `workdir`, from its last checkpoint if there is one, and
  writes the model to WORKDIR/model. Returns the metrics of its
  evaluations."""
  setup, begin = set_up(config, 'sft'), config.stages.starts
  mesh, actor = setup.mesh, setup.actor
  policy = with_objective(config.objective, actor.policy, setup.keys.init)
  trainable, frozen, run = step_functions(config, mesh, shard(policy, mesh))
  state = trainable, run.init_optimizer(trainable)
  curriculum = curriculum_of(
    config.curriculum, config.feedback, actor.tokenizer
  )
  stage_of = lambda step: bisect_right(begin, step) - 1
  host, hosts = jax.process_index(), jax.process_count()

  def batches_of(step: int) -> Any:
    """Endless batches of the stage of a step."""
    stage = stage_of(step)

    def document(number, row):
      draw = random.Random(f'{config.seed}/{stage}/{number}')
      return curriculum.document(setup.encode(row), row, stage, draw)

    return iter(
      document_batches(
        train_rows(config.data),
        document,
        batch=config.batch_size // hosts,
        length=config.max_length,
        pad=setup.actor.pad_id,
        seed=config.seed,
        packed=config.packing,
        share=config.stages.data_fraction[stage],
        buckets=config.buckets,
        shard=(host, hosts),
      )
    )

  def read_batch() -> tuple[TokenBatch, int]:
    batch, most = next(loop.batches), curriculum.num_latents(stage_of(step))
    passes = sharding.over_hosts(np.max, passes_of(batch, most)) if most else 0
    passes = min(passes, config.latent_passes or passes)
    return sharding.from_host(TokenBatch(**batch), mesh), passes

  def evaluate():
    stage = stage_of(max(step - 1, 0))  # the one that was trained last
    weights = run.rollout_weights(loop.state[0], frozen)
    weights = with_spans(weights, curriculum.spans(stage))
    return evaluation(weights, step) | {'eval/stage': stage}

  with (
    Grader(config.rewards.to_dict(), **config.grader) as grader,
    Loop(
      config, workdir, 'sft', mesh, state, batches_of, model=actor.policy.model
    ) as loop,  # fmt: skip
  ):
    del trainable, state  # an update donates them
    evaluation = setup.evaluation(setup.sampler(run, grader))
    for step in loop.steps():
      # ------ load the next batch, then wait for the last update
      begins = step in begin[1:]
      texts = None if loop.last or begins else read_batch()
      if not loop.settle():
        continue
      if begins and step > loop.start:
        loop.read_from(batches_of(step))
        if config.stages.reset_optimizer:
          trainable, _ = loop.state
          loop.state = trainable, run.init_optimizer(trainable)
      if not loop.ready(evaluate if setup.eval_sets else None, begins):
        continue
      # ------ update
      texts, passes = texts or read_batch()
      *state, metrics = run.update(
        *(loop.state[0], frozen, loop.state[1], texts), passes=passes
      )
      loop.state = tuple(state)
      loop.record_step([metrics], {'stage': stage_of(step)})
  policy, folder = combine(loop.state[0], frozen), f'{workdir}/model'
  metrics = loop.latest_metrics
  export_model(actor, policy, folder, config, loop.step, metrics)
  print_summary(loop, workdir, folder)
  return loop.evaluations


def with_spans(policy: Policy, spans: Mapping) -> Policy:
  """The policy with its curriculum's settings of spans, for decoding."""
  if not (spans and hasattr(policy.feedback, 'opening')):
    return policy
  arrays = {name: jnp.asarray(value) for name, value in spans.items()}
  return policy._replace(feedback=policy.feedback._replace(**arrays))


if __name__ == '__main__':
  cli.run(train, OPTIONS)
