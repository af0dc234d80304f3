"""Samples the completions of an arm on a data set, in shards.

A shard has the rows of one batch, after a line with its seconds, the number of
shards and so on. Batches are cut the same whatever was done before, as controls
mix the problems of a batch.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from hybrid_latent import cluster, sharding
from hybrid_latent.data.prompts import check_lengths, eval_batches
from hybrid_latent.feedback.observed import Near, prefix_near
from hybrid_latent.policy import Policy
from hybrid_latent.rewards.grader import Grader
from hybrid_latent.types import Feedback, Prompt, StoppingRule

from ..training.actor import Actor
from ..training.cli import Config
from ..training.latent_similarity import latent_metrics
from ..training.prompts import prompt_ids
from ..training.resumable_shards import existing, print_once, write_lines
from ..training.sampler import RolloutBatch, Sampler, eval_sampling
from ..training.setup import run_keys
from .arms import Arm
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


class Cell(NamedTuple):
  """An arm on a data set."""

  arm: Arm
  dataset: Dataset
  folder: epath.Path  # of its shards

  @property
  def header(self) -> dict[str, Any] | None:
    """The first line of its first shard; None without one."""
    return next(self.headers(), None)

  def shard(self, number: int) -> epath.Path:
    """The file of a shard."""
    return self.folder / f'{number:05d}.jsonl'

  def headers(self) -> Iterator[dict[str, Any]]:
    """The first line of each shard that exists, up to the first that does
    not."""
    for lines in self._shards():
      yield json.loads(next(lines))

  def lines(self) -> Iterator[str]:
    """The rows of all shards."""
    for lines in self._shards():
      next(lines)
      yield from lines

  def is_complete(self) -> bool:
    """Whether all shards exist."""
    count = (self.header or {}).get('shards', 1)
    return all(self.shard(i).exists() for i in range(count))

  def times(self) -> dict[str, Any]:
    """Its row of `record.Times`."""
    headers, samples = [*self.headers()], self.arm.samples
    sums = {
      name: sum(x[name] for x in headers)
      for name in ('prompts', 'tokens', 'seconds')
    }
    peaks = [x for h in headers if (x := h['peak_memory_bytes']) is not None]
    seconds = sums['seconds']
    once = 'too_long', 'latents', 'cosine', 'latent_direction'
    return {
      **{'arm': self.arm.name, 'dataset': self.dataset.name},
      **{'prompts': sums['prompts'], 'completions': sums['prompts'] * samples},
      **{'tokens': sums['tokens'], 'seconds': seconds},
      'seconds_per_question': seconds / sums['prompts'],
      'tokens_per_second': sums['tokens'] / seconds,
      'peak_memory_bytes': max(peaks, default=None),
      **{name: x for name, x in headers[0].items() if name in once},
    }

  def _shards(self) -> Iterator[Iterator[str]]:
    number = 0
    while (path := self.shard(number)).exists():
      with path.open(encoding='utf-8') as file:
        yield iter(file)
      number += 1


def cell_of(arm: Arm, dataset: Dataset, workdir: epath.Path) -> Cell:
  """The cell, in a folder that is named after what it depends on."""
  identity = arm._replace(config=None, run=None, name=''), dataset.digest
  digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
  name = re.sub(r'[^\w.+-]+', '_', f'{arm.name}-{dataset.name}')[:80]
  return Cell(arm, dataset, workdir / 'parts' / f'{name}-{digest}')


def sample_cell(
  cell: Cell, program: Program, grader: Grader, check_preemption: Callable
) -> None:
  """Writes the shards of the cell that are missing; `check_preemption` is
  called before each batch."""
  arm, actor = cell.arm, program.actor
  config = arm.config.copy_and_resolve_references()
  batches, width = _batches(config, cell.dataset, arm.samples, actor)
  config.rollout.max_prompt_length = width
  sampler = Sampler(
    *(config.rollout, config.data, program.mesh, actor),
    *(program.prefill, program.decode, grader),
  )
  stop = _stopping_rule(arm, actor.stop)
  form = _format(cell, program, sampler, stop)
  sampling_params = eval_sampling(config.rollout, config.eval)
  key = run_keys(config.seed).evaluation
  lens = jax.jit(partial(_prefix_near, feedback=program.feedback))

  def run(batch: dict, stop: StoppingRule) -> tuple[Any, float]:
    start = perf_counter()
    prompt, ready = sampler.prefill(actor.policy, batch)
    out = sampler.sample(
      actor.policy, prompt, ready, key, sampling_params, arm.samples, stop
    )
    jax.block_until_ready(out)
    return (prompt, ready, out), perf_counter() - start

  about = {'shards': len(batches), 'too_long': batches[0]['too_long']}
  if program.feedback.prefix:
    about |= latent_metrics(actor.policy, batches, program.mesh)
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
      check_preemption()
    except cluster.Preempted:
      write()
      raise
    (prompt, ready, out), seconds = run(batch, stop)
    near = lens(actor.policy, prompt) if program.feedback.prefix else None
    arrays = sharding.to_host(
      (ready.mask.sum(-1), near, out.record.entropy, out.record.near)
    )
    write()
    rolled = sampler.collect(prompt, out, batch['rows'])
    started.append((number, batch, rolled, arrays, seconds))
  write()


def _batches(
  config: Config, dataset: Dataset, samples: int, actor: Actor
) -> tuple[list[dict], int]:
  """The batches of this host, without the padding that all rows of all hosts
  have, and the prompt length that is left. ValueError where each prompt is too
  long."""
  rollout, hosts = config.rollout, jax.process_count()
  encode = partial(prompt_ids, actor.tokenizer, config.data)
  rows = with_instruction(dataset, config.data)
  # As many completions per batch as a training step, which fit into memory; no
  # more prompts than there are, so that none is its own donor in a control.
  size = rollout.prompts_per_step // hosts * rollout.num_generations // samples
  batches = [
    *eval_batches(
      rows,
      encode,
      batch=max(min(size, -(-len(rows) // hosts)), 1),
      length=rollout.max_prompt_length,
      pad=actor.pad_id,
      shard=(jax.process_index(), hosts),
    )
  ]
  if not batches:
    check_lengths(rows, encode, rollout.max_prompt_length)
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


def _prefix_near(policy: Policy, prompt: Prompt, feedback: Feedback) -> Near:
  """What the latents of a prefix are near, without the text that closes it."""
  near = prefix_near(policy, feedback, prompt)
  count = near.ids.shape[1] - policy.feedback.closing.shape[0]
  return jax.tree.map(lambda x: x[:, :count], near)


def _gathered(
  batch: dict, samples: int, rolled: RolloutBatch, arrays: Any
) -> SampledBatch:
  """The completions of all hosts; waits for their grades."""
  first_position, prefix, entropy, near = arrays
  prompts = batch['ids'], batch['valid'], first_position
  per_sample = partial(np.repeat, repeats=samples, axis=0)
  return cluster.all_rows(
    SampledBatch(
      *map(per_sample, prompts),
      rolled.out,
      entropy,
      near,
      jax.tree.map(per_sample, prefix),
      rolled.grades(),
    )
  )


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
