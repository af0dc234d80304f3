r"""Measures the entropy of each step of a corpus, for HyRea's cold start.

    python -m experiments.step_entropy --workdir=runs/steps \
        --config=hyrea_sft_math:MODEL

The cold start replaces the steps of lowest entropy by latents, and the paper
does not define that entropy. Here it is the mean over the step's tokens (or
config.entropy.aggregation: sum, max) of the entropy, in nats, of the model's
distribution of each of them, given the prompt and the solution so far. The
model is that of the config without new tokens.

Writes WORKDIR/steps.jsonl, a file of the task `steps`: one row per line in the
order of the data, without rows of more than config.max_length tokens. And
WORKDIR/examples.txt: the first rows with their entropies and stages. The same
command resumes after a stop and computes no finished part again.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('step_entropy', __doc__))

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, islice, pairwise
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from hybrid_latent import cluster, sharding
from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.ops.logprobs import over_chunks, token_scores
from hybrid_latent.policy import checked_forward, positions_and_mask

from .fields.named import problems_of
from .training.actor import load_model
from .training.cli import Config
from .training.entropy_examples import examples
from .training.next_command import next_command
from .training.prompts import prompt_ids
from .training.resumable_shards import (
  config_fields,
  existing,
  print_once,
  read_lines,
  shard_paths,
  shard_ranges,
  validate_job,
  write_lines,
)

# The entropy of a step from those of its tokens; 0 where it has none.
MEASURES: dict[str, Callable] = {
  'mean': lambda x: np.sum(x) / max(len(x), 1),
  'sum': np.sum,
  'max': partial(np.max, initial=0),
}


class Row(NamedTuple):
  """A row of the corpus, with the ids of its prompt and steps. The ending comes
  after them, so the model does not read it."""

  fields: dict[str, Any]  # question, steps, ending, answer
  ids: list[int]
  ends: list[int]  # in ids: of the prompt, then of each step


def entropy_program(chunk: int, mesh: Mesh) -> Callable:
  """(model, tokens [b t], mask [b t]) -> [b t], the entropy of the model's
  distribution after each position, in nats, replicated; `chunk` positions have
  logits at a time."""

  @partial(jax.jit, out_shardings=NamedSharding(mesh, PartitionSpec()))
  def entropies(model, tokens, mask):
    x = model.embed(tokens)
    hidden, _ = checked_forward(
      model, x, None, *positions_and_mask(model, mask)
    )
    scores = lambda xs: token_scores(model.unembed(xs[0]), xs[1])
    return over_chunks(scores, (hidden, tokens), chunk).entropy

  return entropies


def annotate(config: Config, workdir: str) -> str:
  """Runs `config` in `workdir`, from its first part that is missing. Returns
  the file of the rows with their entropies."""
  # ---------------------------------------------- data, and what is there
  mesh = sharding.mesh(**config.mesh)
  source = problems_of(config.data)(split=config.data.train_split)
  split_solution(source[0])  # refuses rows without a solution
  folder, size = epath.Path(workdir), config.entropy.rows_per_shard
  record = validate(config, folder, source)
  shards = shard_ranges(len(source), size)
  files = shard_paths(folder, len(shards))
  complete, *exist = existing([folder / 'steps.jsonl', *files])
  if complete:
    print_once(f'cached: {folder}/steps.jsonl is complete')
    return f'{workdir}/steps.jsonl'

  # ------------------------------------------------------------------- model
  base = config.copy_and_resolve_references()
  base.model.new_tokens = ()
  if 'eval' in base:
    base.eval.num_prompts = 0  # nothing is sampled
  model, tokenizer, *_ = load_model(base, mesh)
  entropies = entropy_program(config.logits_chunk, mesh)
  sizes = (
    len(row.ids)
    for shard in shards
    for row in encode_rows([source[i] for i in shard], tokenizer, config.data)
  )
  check_lengths(sizes, config.max_length)

  def dispatch(number):
    """Starts the computation of a part and does not wait for it."""
    rows = [source[i] for i in shards[number]]
    rows = encode_rows(rows, tokenizer, config.data)
    rows = [row for row in rows if len(row.ids) <= config.max_length]
    results = []
    for places, *batch in batches(
      rows, config.batch_size, config.max_length, config.buckets
    ):
      batch = (_shard_rows(x, mesh) for x in batch)
      results.append((places, entropies(model, *batch)))
    return number, rows, results

  def write(number, rows, results):
    """Waits for a part and writes it."""
    found = {}
    for places, columns in results:
      found |= zip(places, np.asarray(columns), strict=False)
    lines = [
      json_line(row, found.get(i, np.zeros(0)), config.entropy.aggregation)
      for i, row in enumerate(rows)
    ]
    record()
    write_lines(files[number], lines)
    print_once(f'part {number + 1} of {len(files)}: {len(rows)} rows')

  # -------------------------------------------------------------------- loop
  missing, pending = [i for i, exists in enumerate(exist) if not exists], None
  with jax.set_mesh(mesh):
    for turn, number in enumerate(missing):
      preempted = cluster.preemption_requested(turn)
      dispatched = None if preempted else dispatch(number)
      if pending:  # the devices compute the next part while this one is written
        write(*pending)
      if preempted:
        raise cluster.Preempted(number, workdir)
      pending = dispatched
    if pending:
      write(*pending)
  record()
  if jax.process_index() == 0:
    texts = examples(
      files, tokenizer, config.curriculum.kwargs, config.entropy.example_steps
    )
    merge_shards(files, folder, texts, config.max_length, len(source))
    scored = f'--config.data.step_entropy_dir={folder}'
    if command := next_command('step_entropy', 'sft', scored):
      print_once(f'to train on it:\n  {command}')
  return f'{workdir}/steps.jsonl'


def validate(
  config: Config, folder: epath.Path, source: Sequence[dict]
) -> Callable[[], None]:
  """Returns what records the settings that the entropies depend on
  (`resumable_shards.validate_job`). ValueError, at once, for settings that
  cannot be, and where the folder has entropies of other settings."""
  if config.entropy.aggregation not in MEASURES:
    raise ValueError(
      f'config.entropy.aggregation is {config.entropy.aggregation!r}: write '
      'one of '
      f'{[*MEASURES]}'
    )
  fields = config_fields(
    config, 'buckets', 'entropy.rows_per_shard', 'entropy.example_steps'
  )
  names = {'model.source', 'model.dtype', 'model.param_dtype', 'max_length',
           'entropy.aggregation', 'entropy.rows_per_shard'}  # fmt: skip
  names |= {name for name in fields if name.startswith('data.')}
  names -= {'data.test_split', 'data.step_entropy_dir'}  # not read here
  new = {f'config.{name}': fields[name] for name in sorted(names)}
  return validate_job(config, folder / 'entropy.json', new, source, 'entropies')


def check_lengths(sizes: Iterable[int], length: int) -> None:
  """ValueError where no row has at most `length` tokens. Consumes `sizes` up to
  the first that has."""
  longer = []
  for size in sizes:
    if size <= length:
      return
    longer.append(size)
  raise ValueError(
    f'config.max_length is {length}, and each of the {len(longer)} rows is '
    'longer: '
    f'write config.max_length={max(longer)}, the length of the longest row; '
    'the '
    f'shortest has {min(longer)} tokens, data.system_prompt and the template '
    'included'
  )


def encode_rows(source: Sequence[dict], tokenizer, data: Config) -> list[Row]:
  """The ids of rows. Each step is encoded by itself, as in the curriculum: no
  token belongs to two steps."""
  rows, pieces = [], [split_solution(row) for row in source]
  texts = [step for steps, _ in pieces for step in steps]
  # All steps at once: the tokenizer uses every core. It rejects an empty list.
  batch = tokenizer(texts, add_special_tokens=False) if texts else {}
  ids = iter(batch.get('input_ids', ()))
  for row, (steps, ending) in zip(source, pieces, strict=True):
    parts = prompt_ids(tokenizer, data, row), *islice(ids, len(steps))
    fields = {'question': row['question'], 'steps': steps, 'ending': ending,
              'answer': row['answer']}  # fmt: skip
    rows.append(Row(fields, [*chain(*parts)], [*accumulate(map(len, parts))]))
  return rows


def batches(
  rows: Sequence[Row], batch: int, length: int, buckets: int
) -> Iterator[tuple]:
  """(indices in `rows`, tokens [b t], mask [b t]) of the rows that have steps,
  sorted by length. Padding is on the right; t is one of `buckets` lengths:
  `length`, a half, a quarter, ... of it."""
  lengths = [length >> k for k in range(buckets)]
  order = [i for i, row in enumerate(rows) if len(row.ends) > 1]
  order.sort(key=lambda i: len(rows[i].ids))  # less padding
  for start in range(0, len(order), batch):
    places = order[start : start + batch]
    longest = len(rows[places[-1]].ids)
    t = min(length for length in lengths if length >= longest)
    tokens: Any = np.zeros((batch, t), np.int32)
    mask: Any = np.zeros(tokens.shape, bool)
    for row, i in enumerate(places):
      ids = rows[i].ids
      tokens[row, : len(ids)], mask[row, : len(ids)] = ids, True
    yield places, tokens, mask


def json_line(row: Row, entropies: Float[np.ndarray, 't'], measure: str) -> str:
  """A line of steps.jsonl; `entropies` are those after each token of the
  row."""
  # A token's distribution is the one after the token before it.
  spans = (entropies[a - 1 : b - 1] for a, b in pairwise(row.ends))
  found = [round(float(MEASURES[measure](span)), 6) for span in spans]
  if not np.isfinite(found).all():
    raise FloatingPointError(f'entropies {found} of {row.fields["question"]!r}')
  fields = row.fields | {'entropies': found}
  names = 'question', 'steps', 'ending', 'entropies', 'answer'
  return json.dumps({name: fields[name] for name in names}) + '\n'


def merge_shards(
  files: Sequence[epath.Path],
  folder: epath.Path,
  examples: str,
  length: int,
  total: int,
) -> None:
  """Writes steps.jsonl, the rows of all parts, and examples.txt; prints how
  many of `total` rows have at most `length` tokens."""
  write_lines(folder / 'examples.txt', [examples])
  kept = write_lines(folder / 'steps.jsonl', read_lines(files))
  print_once(examples)
  print_once(
    f'{kept} of {total} rows are in {folder}/steps.jsonl; {total - kept} have '
    f'more than config.max_length={length} tokens'
  )


def _shard_rows(x: np.ndarray, mesh: Mesh) -> jax.Array:
  """An array that every process has, its rows sharded over the mesh."""
  rows = sharding.rows(x, mesh)
  return jax.make_array_from_callback(x.shape, rows, x.__getitem__)


if __name__ == '__main__':
  cli.run(annotate, OPTIONS, resumes=False)
