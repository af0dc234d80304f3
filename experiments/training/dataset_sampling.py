"""Completions of whole data sets by a fixed model."""

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
from hybrid_latent.models.param_axes import param_axes
from hybrid_latent.rewards.grader import Grader, total
from hybrid_latent.types import Sampling, StoppingRule

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
from .trained_run import TrainedRun

# The parts of a config that determine the samples, and the fields below them
# that do not.
SAMPLING_FIELDS = ('seed', 'model', 'data', 'rollout', 'feedback', 'rewards')
OTHER_FIELDS = (
  'model.remat',
  'model.attention',
  'data.test_split',
  'rollout.prompts_per_step',
  'rollout.num_generations',
  'rollout.mesh',
  'rollout.buckets',
  'rollout.cache_stages',
  'rollout.max_num_seqs',
  'rollout.logits_chunk',
  'rollout.dynamic_sampling_max_batches',
  'rollout.mask_truncated',
  'rollout.rollout_dir',
)


class Completion(NamedTuple):
  """A sampled completion and its reward."""

  prompt: int  # its index in the data
  tokens: list[int]
  thinking: int  # tokens before the one that ended the thinking
  finished_naturally: bool  # no limit cut the thinking or the completion
  reward: float  # NaN where grading failed
  grades: dict[str, float]


def sampling_fields(fields: Mapping[str, Any], *more: str) -> dict[str, Any]:
  """The fields of a config that determine the samples, and `more`."""
  below = lambda field, names: any(
    f'{field}.'.startswith(f'{name}.') for name in names
  )
  return {
    f'config.{field}': value
    for field, value in sorted(fields.items())
    if below(field, (*SAMPLING_FIELDS, *more))
    and not below(field, OTHER_FIELDS)
  }


def decoding_actor(
  config: Config, mesh: Mesh, run: TrainedRun | None = None
) -> Actor:
  """The initial policy of a trainer with this config, or the one that a `run`
  has trained, adapters merged and sharded for decoding, without reference and
  critic."""
  config = config.copy_and_resolve_references()
  if run is None:
    config.lora.rank = 0  # untrained adapters change no output
  source = load_model(config, mesh)
  key = run.init_key if run else run_keys(config.seed).init
  tokenizer: Any = source.tokenizer
  policy = init_policy(
    config.lora, config.feedback, source.model, tokenizer, key
  )
  policy = shard(load_feedback_params(policy, source), mesh)
  policy = run.restored(policy) if run else policy
  shapes = jax.eval_shape(merged_for_decoding, policy)
  shardings = sharding.shardings(shapes, param_axes, mesh)
  weights = jax.jit(merged_for_decoding, out_shardings=shardings)(policy)
  stop = stopping_rule_of(config.rollout, source, tokenizer)
  return Actor(weights, None, tokenizer, source.generation, stop)


@contextmanager
def batch_generator(
  config: Config,
  mesh: Mesh,
  actor: Actor,
  sampling: Sampling,
  samples: int,
  workdir: str,
) -> Iterator[Callable[..., list[Completion]]]:
  """Yields (rows, encode, shard number, index of its first row) -> `samples`
  completions per row, in the order of the rows, the same on every host.

  A batch has as many rows as a training step of the config has completions.
  Raises cluster.Preempted between two batches where preemption was requested.
  """
  rollout, hosts = config.rollout, jax.process_count()
  size = max(
    rollout.prompts_per_step // hosts * rollout.num_generations // samples, 1
  )
  functions = prefill_and_decode(rollout, feedback_of(config.feedback))
  turns = itertools.count()
  with (
    jax.set_mesh(mesh),
    Grader(config.rewards.to_dict(), **config.grader) as grader,
  ):
    key = run_keys(config.seed).rollout
    sampler = Sampler(rollout, config.data, mesh, actor, *functions, grader)

    def generate(
      rows: Sequence[dict], encode: Encode, shard: int, first: int = 0
    ) -> list[Completion]:
      batches = []
      for batch in eval_batches(
        rows,
        encode,
        batch=size,
        length=rollout.max_prompt_length,
        pad=actor.pad_id,
        shard=(jax.process_index(), hosts),
      ):
        if cluster.preemption_requested(next(turns)):
          raise cluster.Preempted(shard, workdir)
        # Keys are folded with the index in all of the data: a completion does
        # not depend on how the rows are cut into shards.
        batch['ids'] += np.int32(first)
        prompt, ready = sampler.prefill(actor.policy, batch)
        out = sampler.sample(
          actor.policy, prompt, ready, key, sampling, samples
        )
        rolled = sampler.collect(prompt, out, batch['rows'])
        out, per_sample = rolled.out, partial(np.repeat, repeats=samples)
        columns = (
          out.tokens,
          out.mask,
          out.thinking_mask,
          out.policy_mask,
          out.terminated,
        )
        ids_and_valid = per_sample(batch['ids']), per_sample(batch['valid'])
        # Grading goes on while the devices decode the next batch.
        batches.append((columns, ids_and_valid, rolled.grades))
      return gather_hosts(batches, grader.weights, actor.stop, samples)

    yield generate


def gather_hosts(
  batches: Sequence[tuple],
  weights: Mapping[str, float],
  stop: StoppingRule,
  samples: int,
) -> list[Completion]:
  """The completions of all hosts' batches; waits for their grades."""
  if not batches:
    return []
  graded = [(*columns, grades()) for *columns, grades in batches]
  join = lambda *arrays: np.concatenate(arrays)
  columns, (ids, valid), grades = cluster.all_rows(jax.tree.map(join, *graded))
  reward = total(grades, weights, samples)
  num_forced = int((stop.forced_tokens[0] >= 0).sum())  # after natural thinking
  limit = min(int(stop.max_thinking_tokens), int(stop.budget))

  def completion(i: int) -> Completion:
    tokens, mask, thinking, free, ended = (column[i] for column in columns)
    length, end = int(mask.sum()), int(thinking.sum())
    sampled = free[:length].copy()
    # Text is forced after a natural end of the thinking, too: not a cut.
    sampled[end + 1 : end + 1 + num_forced] = True
    return Completion(
      int(ids[i]),
      tokens[:length].tolist(),
      end,
      bool(ended and end < min(length, limit) and sampled[end:].all()),
      float(reward[i]),
      {name: float(values[i]) for name, values in grades.items()},
    )

  # Stable: the completions of a prompt are adjacent on its host.
  return [completion(i) for i in np.argsort(ids, kind='stable') if valid[i]]


def split_thinking(
  ids: Sequence[int],
  thinking: int,
  delimiter: str,
  decode: Callable[[Sequence[int]], str],
) -> tuple[str, str, bool]:
  """The text before the delimiter, the text after it, and whether the
  completion has it.

  The delimiter's last token, which may hold more text, is the first after
  `thinking` tokens. After a thinking that was cut the text begins with the
  forced one.
  """
  before, found, after = decode(ids[: thinking + 1]).partition(delimiter)
  if found:
    return before, after + decode(ids[thinking + 1 :]), True
  return decode(ids[:thinking]), decode(ids[thinking:]), False


def check_delimiter(delimiter: str, stop: StoppingRule, tokenizer) -> None:
  """ValueError where the tokens of the delimiter do not bring its automaton to
  the final state."""
  table, state = np.asarray(stop.delimiter), 0
  for token in tokenizer(delimiter, add_special_tokens=False)['input_ids']:
    state = table[state, token]
  if not delimiter or state < len(table) - 1:
    raise ValueError(
      f'config.rollout.end_of_thinking is {delimiter!r}: write the text that '
      'ends the thinking, and where it is a special token, which decoding '
      'leaves out, "special": false in the tokenizer.json of the model'
    )
