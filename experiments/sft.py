r"""Supervised fine-tuning on worked solutions, in words and in latents.

    python -m experiments.sft --workdir=runs/sft \
        --config=experiments/configs/sft_arithmetic.py:FOLDER

A curriculum (hybrid_latent/curricula/) makes the examples of each stage. Where
these have latents, the model reads its own states in their place, and the
gradient goes through them. Ends by writing a Hugging Face folder,
`WORKDIR/model`. The same command resumes a run that was stopped.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('sft', __doc__))

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from operator import sub
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hybrid_latent import latents, optim, sharding
from hybrid_latent.curricula.base import Curriculum
from hybrid_latent.data.documents import document_batches
from hybrid_latent.models.letters import letters
from hybrid_latent.objectives.base import Mean, token_mean
from hybrid_latent.objectives.supervised import layer_distances, shares
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.rewards.grader import Grader
from hybrid_latent.trees import combine, partition
from hybrid_latent.types import Texts

from .fields.check import check
from .fields.data_check import check_data
from .training.cli import Config, named
from .training.ending import conclude
from .training.loop import Loop
from .training.policies import (
  Subject,
  adapted,
  exported,
  feedback_of,
  loaded,
  placed,
  problems_of,
  prompt_ids,
  share_rows,
  stop_of,
  with_owned,
)
from .training.sampler import Sampler, speaking, speech, tests_of


class Programs(NamedTuple):
  """What a step runs on the devices."""

  optimizer: Callable  # (trained arrays) -> the optimizer's state of them
  update: Callable  # one step of the policy
  sampler: Callable  # the policy as decoding wants it
  prefill: Callable
  decode: Callable


def programs(config: Config, mesh: Mesh, policy: Policy):
  """The arrays of the policy that are trained, those that are not, and the
  programs of a step; `policy` holds arrays, or the shapes of some."""
  share_rows(config.batch // config.micro_batches, mesh)
  feedback = feedback_of(config.feedback)
  hyper, distillation = config.optimizer.to_dict(), config.distillation
  trainable, frozen = partition(
    policy, optim.is_trained(policy, hyper['groups'])
  )
  tx = optim.adamw(trainable, steps=_horizon(config), **hyper)
  state = jax.eval_shape(tx.init, trainable)
  where = sharding.shardings((trainable, state), letters, mesh)

  @partial(
    jax.jit,
    static_argnames='passes',
    donate_argnums=(0, 2),
    out_shardings=(*where, None),
  )
  def update(trainable, frozen, opt_state, texts, passes):
    """One step on a batch whose texts have up to `passes` latents each."""

    def loss(trainable, part):
      texts, share = part
      policy, figures = combine(trainable, frozen), {}
      mean = lambda total: Mean(total, jnp.float32(1 / config.micro_batches))
      x = latents.inputs(
        policy,
        texts,
        feedback.latents,
        passes=passes,
        truncate=config.truncate,
      )
      places, total = latents.places(texts), 0.0
      if distillation.weight:
        cues, valid = _cues(texts)
        hidden, states = policy.model.layer_states(x, *places, cues)
        gaps = layer_distances(
          states[:, :, 0],
          states[:, :, 1],
          valid,
          kind=distillation.kind,
          scaled=distillation.scaled,
        )
        gaps /= config.micro_batches
        total = distillation.weight * gaps.mean()
        figures |= {
          f'distillation/{i}': mean(gap) for i, gap in enumerate(gaps)
        }
      else:
        hidden, _ = policy.forward(x, None, *places)
      scores = latents.reading(policy, texts, hidden, chunk=config.chunk)
      total -= jnp.sum(share * scores.log_probs)
      targets, norms = texts.weights > 0, jnp.linalg.norm(x, axis=-1)
      figures |= {
        'entropy': token_mean(scores.entropy, targets),
        'mean_token_accuracy': token_mean(scores.best, targets),
        'tokens': mean(jnp.sum(texts.segments > 0)),
        'embedding_norm': token_mean(
          norms, (texts.segments > 0) & ~texts.latent
        ),
      }
      if passes:
        figures['latent_norm'] = token_mean(norms, texts.latent)
      return mean(total), figures

    gradient, figures = optim.mean_gradient(
      loss,
      trainable,
      (texts, shares(texts)),
      micro_batches=config.micro_batches,
    )
    gradient = jax.lax.with_sharding_constraint(gradient, where[0])
    return optim.finite_step(tx, gradient, figures, opt_state, trainable)

  def sampler(trainable, frozen):
    return speaking(combine(trainable, frozen))

  weights = jax.eval_shape(sampler, trainable, frozen)
  return (
    trainable,
    frozen,
    Programs(
      jax.jit(tx.init, out_shardings=where[1]),
      update,
      jax.jit(
        sampler, out_shardings=sharding.shardings(weights, letters, mesh)
      ),
      *speech(config, feedback),
    ),
  )


def _horizon(config: Config) -> int:
  """Steps that an optimizer lives: all, or those of the longest stage."""
  ends = [*config.stages.begin[1:], config.steps]
  if not config.stages.reset_optimizer:
    return config.steps
  return max(map(sub, ends, config.stages.begin))


def _cues(texts: Texts):
  """Where the two texts of a row are to know the same [b 2], and whether there
  are two."""
  at = lambda part: jnp.argmax(texts.cue & (texts.part == part), axis=1)
  return jnp.stack([at(0), at(1)], axis=1), texts.cue.sum(1) == 2


def actor_of(config: Config, mesh: Mesh) -> Subject:
  """What a run begins with."""
  source = loaded(config, mesh)
  tokenizer: Any = source.tokenizer
  key = jax.random.key(config.seed)
  policy = adapted(config, source.model, tokenizer, key)
  policy = with_owned(policy, source)
  stop = stop_of(config.rollout, source, tokenizer)
  return Subject(
    placed(policy, mesh), source.model, tokenizer, source.generation, stop
  )


def curriculum_of(config: Config, tokenizer) -> Curriculum:
  """The examples of `config.curriculum`."""
  make = named(config.curriculum.function, 'hybrid_latent.curricula')
  curriculum = make(tokenizer, **config.curriculum.kwargs)
  if curriculum.spans(0) and not config.feedback.parameters:
    raise ValueError(
      f'config.curriculum.function is {config.curriculum.function!r}, whose '
      'models speak in spans, and config.feedback.parameters is empty: write '
      "feedback.function='switching:switching' and "
      "feedback.parameters='switching:spans'"
    )
  return curriculum


def worked_rows(data: Config) -> Sequence[dict]:
  """The training rows: of `data.scored`, where experiments.step_entropy has
  written them with their entropies, else of `data.source`."""
  if data.scored:
    rows = named('jsonl:problems', 'hybrid_latent.data')
    return rows('steps', data.scored, 'train')
  return problems_of(data)(split=data.train)


def train(config: Config, workdir: str) -> list[dict[str, float]]:
  """Runs `config` in `workdir`, from its last checkpoint if there is one, and
  writes the model to WORKDIR/model. Returns the evaluations it made."""
  check(config, 'sft', jax.process_count())
  check_data(config)
  begin, eval_key = config.stages.begin, jax.random.key(config.seed + 1)
  stage_of = lambda step: bisect_right(begin, step) - 1

  # -------------------------------------------------------- mesh, model, data
  mesh = sharding.mesh(**config.mesh)
  host, hosts = jax.process_index(), jax.process_count()
  actor = actor_of(config, mesh)
  trainable, frozen, run = programs(config, mesh, actor.policy)
  state = trainable, run.optimizer(trainable)
  curriculum = curriculum_of(config, actor.tokenizer)
  encode = partial(prompt_ids, actor.tokenizer, config.data)
  pad = int(actor.stop.pad)

  def batches_of(step: int) -> Any:
    """The endless batches of the stage that a step is of."""
    stage = stage_of(step)

    def document(number, row):
      draw = random.Random(f'{config.seed}/{stage}/{number}')
      return curriculum.document(encode(row), row, stage, draw)

    return iter(
      document_batches(
        worked_rows(config.data),
        document,
        batch=config.batch // hosts,
        length=config.length,
        pad=pad,
        seed=config.seed,
        packed=config.packed,
        share=config.stages.share[stage],
        buckets=config.buckets,
        shard=(host, hosts),
      )
    )

  tests = tests_of(config, encode, pad)

  def spoken(stage: int) -> Policy:
    """The policy as decoding wants it, with the spans of a stage."""
    weights = run.sampler(loop.state[0], frozen)
    spans = {
      name: jnp.asarray(value)
      for name, value in curriculum.spans(stage).items()
    }
    if not spans:
      return weights
    return weights._replace(feedback=weights.feedback._replace(**spans))

  def evaluate():
    stage, key = stage_of(max(step - 1, 0)), jax.random.fold_in(eval_key, step)
    figures = speaker.evaluation(
      spoken(stage), tests, key, eval_sampling, config.eval.samples
    )
    return figures | {'eval/stage': stage}

  def read():
    return sharding.from_host(Texts(**next(loop.batches)), mesh)

  # --------------------------------------------------------------------- loop
  eval_sampling = sampling(
    **{**config.rollout.sampling, **config.eval.sampling}
  )
  with (
    Grader(config.rewards.to_dict(), **config.grader) as grader,
    Loop(config, workdir, 'sft', mesh, state, batches_of) as loop,
  ):
    del trainable, state
    speaker = Sampler(config, mesh, actor, run.prefill, run.decode, grader)
    for step in loop.steps():
      begins = step in begin[1:]
      texts = None if loop.last or begins else read()
      if not loop.settle():
        continue
      if begins and step > loop.start:
        loop.read_from(batches_of(step))
        if config.stages.reset_optimizer:
          trainable, _ = loop.state
          loop.state = trainable, run.optimizer(trainable)
      evaluates = tests and (begins or loop.due(config.eval.every))
      if not loop.ready(evaluate if evaluates else None, begins):
        continue
      texts, stage = texts or read(), stage_of(step)
      *state, figures = run.update(
        loop.state[0],
        frozen,
        loop.state[1],
        texts,
        passes=curriculum.latents(stage),
      )
      loop.state = tuple(state)
      loop.learned([figures], {'stage': stage})
  policy, path = combine(loop.state[0], frozen), f'{workdir}/model'
  figures = loop.figures | (loop.evaluations or [{}])[-1]
  exported(actor, policy, path, config, loop.step, figures)
  conclude(loop, workdir, f'{workdir}/model')
  return loop.evaluations


if __name__ == '__main__':
  cli.run(train, OPTIONS)
