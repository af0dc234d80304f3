"""Samples the completions of an arm on a data set.

Batches are cut the same whatever was done before, as controls mix the problems
of a batch.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent import cluster, sharding
from hybrid_latent.data.prompts import check_lengths, eval_batches
from hybrid_latent.feedback.observed import prefix_latents_near
from hybrid_latent.rewards.grader import Grader
from hybrid_latent.types import Feedback, StoppingRule

from ..training.actor import Actor
from ..training.latent_similarity import latent_metrics
from ..training.prompts import prompt_ids
from ..training.resumable_shards import existing, print_once, write_lines
from ..training.sampler import RolloutBatch, Sampler, eval_sampling
from ..training.setup import run_keys
from .arms import Arm, no_thinking_text
from .cell import Cell
from .datasets import Dataset, with_instruction
from .record import record_line
from .rows import RowFormat, SampledBatch, mark_ids, record_rows


class Program(NamedTuple):
  """A loaded model and the functions that sample its completions, the same for
  all budgets and data sets."""

  actor: Actor
  mesh: jax.sharding.Mesh
  feedback: Feedback  # observed
  prefill: Callable
  decode: Callable


def sample_cell(
  cell: Cell, program: Program, grader: Grader, begin_batch: Callable
) -> None:
  """Writes the shards of the cell that are missing; `begin_batch` is
  called before each batch."""
  arm, actor = cell.arm, program.actor
  config = arm.config.copy_and_resolve_references()
  batches, width = _batches(arm, cell.dataset, actor)
  config.rollout.max_prompt_length = width
  sampler = Sampler(
    *(config.rollout, config.data, program.mesh, actor),
    *(program.prefill, program.decode, grader),
  )
  stop = _stopping_rule(arm, actor.stop)
  form = _format(cell, program, sampler, stop)
  sampling_params = eval_sampling(config.rollout, config.eval)
  key = run_keys(config.seed).evaluation
  lens = jax.jit(prefix_latents_near, static_argnames='feedback')

  def run(batch: dict, stop: StoppingRule) -> tuple[Any, float]:
    start = perf_counter()
    prompt, ready = sampler.prefill(actor.policy, batch)
    out = sampler.sample(
      actor.policy, prompt, ready, key, sampling_params, arm.samples, stop
    )
    jax.block_until_ready(out)
    return (prompt, ready, out), perf_counter() - start

  about = {'shards': len(batches), 'too_long': batches[0]['too_long']}
  if prefix := program.feedback.prefix:
    about |= latent_metrics(actor.policy, prefix, batches, program.mesh)
  # Limits are traced: one token compiles the program of every budget.
  run(batches[0], stop._replace(max_tokens=jnp.int32(1)))
  exist = existing([cell.shard(i) for i in range(len(batches))])
  started: list[tuple] = []  # a batch whose grading goes on in the meantime

  def write() -> None:
    if not started:
      return
    number, batch, rolled, arrays, seconds = started.pop()
    rows = record_rows(_gathered(batch, arm.samples, rolled, arrays), form)
    header = about | {
      'prompts': len(rows) // arm.samples,
      'tokens': sum(row['num_tokens'] for row in rows),
      'seconds': seconds,
      'peak_memory_bytes': _peak_memory(),
    }
    write_lines(cell.shard(number), map(record_line, (header, *rows)))
    print_once(_progress(cell, number, len(batches), rows))

  for number, batch in enumerate(batches):
    if exist[number]:
      continue
    try:
      begin_batch()
    except cluster.Preempted:
      write()
      raise
    (prompt, ready, out), seconds = run(batch, stop)
    feedback, near = program.feedback, None
    if feedback.prefix:
      near = lens(actor.policy, feedback, prompt)
    arrays = sharding.to_host(
      (ready.mask.sum(-1), near, out.record.entropy, out.record.near)
    )
    write()
    rolled = sampler.collect(prompt, out, batch['rows'])
    started.append((number, batch, rolled, arrays, seconds))
  write()


def _batches(
  arm: Arm, dataset: Dataset, actor: Actor
) -> tuple[list[dict], int]:
  """The batches of this host, without the padding that all rows of all hosts
  have, and the prompt length that is left. ValueError where each prompt is too
  long."""
  config, hosts = arm.config, jax.process_count()
  encode = partial(prompt_ids, actor.tokenizer, config.data)
  rows = with_instruction(dataset, config.data)
  length = config.rollout.max_prompt_length
  if config.rollout.mode == 'no_thinking':
    # The text of the mode has room of its own: all arms have the same prompts.
    data = config.data.copy_and_resolve_references()
    data.prefill = data.prefill.removesuffix(no_thinking_text(config))
    thinks = prompt_ids(actor.tokenizer, data, rows[0])
    length += len(encode(rows[0])) - len(thinks)
  if not (fitting := sum(len(encode(row)) <= length for row in rows)):
    check_lengths(rows, encode, length)
  # No more prompts than there are: none is its own donor in a control.
  size = min(arm.prompts_per_batch, fitting) // hosts
  batches = [
    *eval_batches(
      rows,
      encode,
      batch=max(size, 1),
      length=length,
      pad=actor.pad_id,
      shard=(jax.process_index(), hosts),
    )
  ]
  longest = max(batch['mask'].sum(-1).max() for batch in batches)
  width = int(sharding.over_hosts(np.max, longest))
  cut = lambda batch: {name: batch[name][:, -width:]
                       for name in ('tokens', 'mask')}  # fmt: skip
  return [batch | cut(batch) for batch in batches], width


def _stopping_rule(arm: Arm, stop: StoppingRule) -> StoppingRule:
  """The rule of a model with the limits of an arm."""
  config = arm.config
  if arm.budget is None:
    limit = config.eval.max_thinking_tokens or stop.max_thinking_tokens
    return stop._replace(max_thinking_tokens=jnp.int32(limit))
  limit = jnp.int32(arm.budget)
  budget = limit - config.rollout.answer_reserve
  return stop._replace(max_tokens=limit, budget=budget)


def _format(
  cell: Cell, program: Program, sampler: Sampler, stop: StoppingRule
) -> RowFormat:
  """The format of the rows of a cell."""
  arm, dataset = cell.arm, cell.dataset
  fields = {
    **{'arm': arm.name, 'model': arm.model, 'feedback': arm.feedback},
    **{'mode': arm.mode, 'control': arm.control, 'budget': arm.budget},
    'sampling': 'greedy' if arm.greedy else 'sample',
    'dataset': dataset.name,
  }
  tokenizer: Any = program.actor.tokenizer
  return RowFormat(
    fields,
    dataset.rows,
    arm.samples,
    sampler.grader.weights,
    dataset.parse,
    sampler.texts,
    lambda token: tokenizer.decode([token]),
    stop,
    arm.mode == 'chain_of_thought',
    mark_ids(program.actor.policy.feedback),
  )


def _gathered(
  batch: dict, samples: int, rolled: RolloutBatch, arrays: Any
) -> SampledBatch:
  """The completions of all hosts; waits for their grades."""
  first_position, prefix, entropy, near = arrays
  per_sample: Any = partial(np.repeat, repeats=samples, axis=0)
  sampled = SampledBatch(
    prompts=per_sample(batch['ids']),
    valid=per_sample(batch['valid']),
    first_position=per_sample(first_position),
    out=rolled.out,
    entropy=entropy,
    near=near,
    prefix_near=jax.tree.map(per_sample, prefix),
    grades=rolled.grades(),
  )
  return cluster.all_rows(sampled)


def _peak_memory() -> int | None:
  """Of the first device since the process began, in bytes; None where it does
  not count."""
  statistics = jax.local_devices()[0].memory_stats() or {}
  return statistics.get('peak_bytes_in_use')


def _progress(cell: Cell, number: int, count: int, rows: list[dict]) -> str:
  graded = [row['correct'] for row in rows if not row['ungraded']]
  accuracy = f'{np.mean(graded):.3f}' if graded else 'no grade'
  return (
    f'{cell.arm.name} on {cell.dataset.name}: batch {number + 1} of {count}, '
    f'accuracy {accuracy}'
  )
