"""Completions of whole data sets, by a model that is not being trained: what
experiments.generate and experiments.studies.cot_ablation have in common."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from hybrid_latent import cluster, sharding
from hybrid_latent.data.prompts import Encode, eval_batches
from hybrid_latent.models.letters import letters
from hybrid_latent.rewards.grader import Grader, total
from hybrid_latent.types import Sampling, Stop

from .actor import (
  Actor,
  feedback_of,
  init_policy,
  load_feedback_params,
  load_model,
  shard,
  stopping_rule_of,
)
from .cli import Config
from .sampler import Sampler, merged_for_decoding, prefill_and_decode
from .setup import run_keys

# The parts of a config that decide what is sampled, and what of them does not.
SAMPLING_FIELDS = ('seed', 'model', 'data', 'rollout', 'feedback', 'rewards')
FREE = (
  *('model.remat', 'data.test'),
  *('rollout.prompts', 'rollout.group', 'rollout.mesh', 'rollout.buckets'),
  *('rollout.stages', 'rollout.chunk', 'rollout.attempts'),
  *('rollout.mask_truncated', 'rollout.source'),
)


class Completion(NamedTuple):
  """What a model wrote, and what it is worth."""

  prompt: int  # its number in the data
  tokens: list[int]
  thinking: int  # tokens before the one that ended the thinking
  finished_naturally: bool  # no limit ended the thinking or the row
  reward: float  # NaN where it could not be graded
  grades: dict[str, float]


def sampling_fields(fields: Mapping[str, Any], *more: str) -> dict[str, Any]:
  """Those of a config's fields that decide what is sampled, `more` included."""
  below = lambda field, names: any(
    f'{field}.'.startswith(f'{name}.') for name in names
  )
  return {
    f'config.{field}': value
    for field, value in sorted(fields.items())
    if below(field, (*SAMPLING_FIELDS, *more)) and not below(field, FREE)
  }


def decoding_actor(config: Config, mesh: Mesh) -> Actor:
  """What a trainer of `config` would begin with, ready to decode and without
  all that only training needs."""
  config = config.copy_and_resolve_references()
  config.lora.rank = 0  # adapters that nothing has trained change nothing
  source, key = load_model(config, mesh), run_keys(config.seed).init
  tokenizer: Any = source.tokenizer
  policy = init_policy(
    config.lora, config.feedback, source.model, tokenizer, key
  )
  policy = shard(load_feedback_params(policy, source), mesh)
  shapes = jax.eval_shape(merged_for_decoding, policy)
  shardings = sharding.shardings(shapes, letters, mesh)
  weights = jax.jit(merged_for_decoding, out_shardings=shardings)(policy)
  stop = stopping_rule_of(config.rollout, source, tokenizer)
  return Actor(weights, None, tokenizer, source.generation, stop)


@contextmanager
def batch_generator(
  config: Config,
  mesh: Mesh,
  actor: Actor,
  sampling_params: Sampling,
  samples: int,
  workdir: str,
) -> Iterator[Callable[..., list[Completion]]]:
  """(rows, encode, number of the part, number of its first row) -> `samples`
  completions of each of the rows, in their order, the same on every host.

  A batch has as many rows as a training step of the config has completions.
  Raises cluster.Preempted between two of them where the run was told to end.
  """
  rollout, hosts = config.rollout, jax.process_count()
  size = max(rollout.prompts // hosts * rollout.group // samples, 1)
  functions = prefill_and_decode(rollout, feedback_of(config.feedback))
  turns = itertools.count()
  with (
    jax.set_mesh(mesh),
    Grader(config.rewards.to_dict(), **config.grader) as grader,
  ):
    key = run_keys(config.seed).rollout
    sampler = Sampler(rollout, config.data, mesh, actor, *functions, grader)

    def completions(
      rows: Sequence[dict], encode: Encode, part: int, first: int = 0
    ) -> list[Completion]:
      found = []
      for batch in eval_batches(
        rows,
        encode,
        batch=size,
        length=rollout.prompt_length,
        pad=int(actor.stop.pad),
        shard=(jax.process_index(), hosts),
      ):
        if cluster.told_to_end(next(turns)):
          raise cluster.Preempted(part, workdir)
        batch['ids'] += np.int32(first)  # of all the data, not of this part
        prompt, ready = sampler.prefill(actor.policy, batch)
        out = sampler.sample(
          actor.policy, prompt, ready, key, sampling_params, samples
        )
        rolled = sampler.collect(prompt, out, batch['rows'])
        out, each = rolled.out, partial(np.repeat, repeats=samples)
        columns = out.tokens, out.mask, out.thinking, out.free, out.ended
        places = each(batch['ids']), each(batch['valid'])
        found.append((columns, places, rolled.grades))
      return gather_hosts(found, grader.weights, actor.stop, samples)

    yield completions


def gather_hosts(
  found: Sequence[tuple],
  weights: Mapping[str, float],
  stop: Stop,
  samples: int,
) -> list[Completion]:
  """The completions of all hosts' batches; waits for their grades."""
  if not found:
    return []
  found = [(*columns, grades()) for *columns, grades in found]
  whole = lambda *some: np.concatenate(some)
  columns, (ids, valid), grades = cluster.all_rows(jax.tree.map(whole, *found))
  reward = total(grades, weights, samples)
  written = int((stop.closing[0] >= 0).sum())  # once it has ended by itself

  def completion(i: int) -> Completion:
    tokens, mask, thinking, free, ended = (column[i] for column in columns)
    length, end = int(mask.sum()), int(thinking.sum())
    drawn = free[:length].copy()
    drawn[end + 1 : end + 1 + written] = True
    return Completion(
      int(ids[i]),
      tokens[:length].tolist(),
      end,
      bool(ended and end < length and drawn[end:].all()),
      float(reward[i]),
      {name: float(values[i]) for name, values in grades.items()},
    )

  # Stable: the completions of a prompt lie together on the host that read it.
  return [completion(i) for i in np.argsort(ids, kind='stable') if valid[i]]
