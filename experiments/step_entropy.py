r"""How sure a model is of each step of a corpus: before HyRea's cold start.

    python -m experiments.step_entropy --workdir=runs/steps \
        --config=experiments/configs/hyrea_sft_math.py:MODEL

The cold start puts latents in the place of the steps of lowest entropy, and the
paper does not say how that is measured. Here it is the mean over the step's
tokens (or config.entropy.measure: sum, max) of the entropy, in nats, of the
whole distribution that the model has before each of them, given the prompt and
the solution so far. The model is the one of the config without new tokens.

Writes WORKDIR/steps.jsonl, to be read as the task `steps`: a row a line in the
order of the data, those of more than config.length tokens left out. And
WORKDIR/examples.txt: what becomes of the first rows. The same command goes on
after a stop and computes no finished part again.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('step_entropy', __doc__))

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, islice, pairwise
from textwrap import indent
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from hybrid_latent import cluster, sharding
from hybrid_latent.curricula.steps import worked
from hybrid_latent.ops.attention import causal_mask, positions
from hybrid_latent.ops.logprobs import over_chunks, token_scores

from .training import resumable_shards
from .training.actor import load_model
from .training.cli import Config
from .training.next_command import next_command
from .training.prompts import problems_of, prompt_ids

# Of the entropies of a step's tokens; one without tokens has 0.
MEASURES: dict[str, Callable] = {
  'mean': lambda x: np.sum(x) / max(len(x), 1),
  'sum': np.sum,
  'max': partial(np.max, initial=0),
}
EXAMPLES = 10


class Row(NamedTuple):
  """A row of the corpus, and its prompt and steps as the model reads them. The
  ending is not read: it comes after them."""

  fields: dict[str, Any]  # question, steps, ending, answer
  ids: list[int]
  ends: list[int]  # in ids: of the prompt, then of each step


def programs(config: Config, mesh: Mesh) -> Callable:
  """(model, tokens [b t], mask [b t]) -> [b t], the entropy of what the model
  expects after each position, in nats; on every device."""

  @partial(jax.jit, out_shardings=NamedSharding(mesh, PartitionSpec()))
  def entropies(model, tokens, mask):
    x = model.embed(tokens)
    hidden, _ = model.forward(x, None, positions(mask), causal_mask(mask))
    scores = lambda part: token_scores(model.unembed(part[0]), part[1])
    return over_chunks(scores, (hidden, tokens), config.chunk).entropy

  return entropies


def annotate(config: Config, workdir: str) -> str:
  """Runs `config` in `workdir`, from its first part that is not there. Returns
  the file of the rows with their entropies."""
  # ------------------------------------------------- data, and what is there
  mesh = sharding.mesh(**config.mesh)
  source = problems_of(config.data)(split=config.data.train)
  worked(source[0])  # refuses rows without a solution
  folder, size = epath.Path(workdir), config.entropy.rows_per_part
  begin = check(config, folder, source)
  shares = resumable_shards.ranges(len(source), size)
  files = resumable_shards.numbered(folder, len(shares))
  over, *done = resumable_shards.there([folder / 'steps.jsonl', *files])
  if over:
    resumable_shards.say(f'cached: {folder}/steps.jsonl is complete')
    return f'{workdir}/steps.jsonl'

  # ------------------------------------------------------------------- model
  base = config.copy_and_resolve_references()
  base.model.new_tokens = ()
  if 'eval' in base:
    base.eval.prompts = 0  # nothing is sampled
  model, tokenizer, *_ = load_model(base, mesh)
  entropies = programs(config, mesh)
  sizes = (
    len(row.ids)
    for share in shares
    for row in encoded([source[i] for i in share], tokenizer, config.data)
  )
  check_lengths(sizes, config.length)

  def begun(number):
    """A part that the devices compute from now on."""
    some = [source[i] for i in shares[number]]
    rows = encoded(some, tokenizer, config.data)
    rows = [row for row in rows if len(row.ids) <= config.length]
    results = []
    for places, *batch in batches(rows, config):
      batch = (_placed(x, mesh) for x in batch)
      results.append((places, entropies(model, *batch)))
    return number, rows, results

  def finish(number, rows, results):
    """Waits for a part and writes it down."""
    found = {}
    for places, columns in results:
      found |= zip(places, np.asarray(columns), strict=False)
    lines = [
      json_line(row, found.get(i, np.zeros(0)), config.entropy.measure)
      for i, row in enumerate(rows)
    ]
    begin()
    resumable_shards.write(files[number], lines)
    resumable_shards.say(f'part {number + 1} of {len(files)}: {len(rows)} rows')

  # -------------------------------------------------------------------- loop
  todo, pending = [i for i, over in enumerate(done) if not over], None
  with jax.set_mesh(mesh):
    for turn, number in enumerate(todo):
      told = cluster.told_to_end(turn)
      following = None if told else begun(number)
      if pending:  # written while the devices compute the next
        finish(*pending)
      if told:
        raise cluster.Preempted(number, workdir)
      pending = following
    if pending:
      finish(*pending)
  begin()
  if jax.process_index() == 0:
    join(files, folder, tokenizer, config, len(source))
    scored = f'--config.data.scored={folder}'
    if command_line := next_command('step_entropy', 'sft', scored):
      resumable_shards.say(f'to train on it:\n  {command_line}')
  return f'{workdir}/steps.jsonl'


def check(
  config: Config, folder: epath.Path, source: Sequence[dict]
) -> Callable[[], None]:
  """What writes down what the entropies depend on. ValueError, at once, for
  settings that cannot be, and where the folder has entropies of something
  else."""
  if config.entropy.measure not in MEASURES:
    raise ValueError(
      f'config.entropy.measure is {config.entropy.measure!r}: write one of '
      f'{[*MEASURES]}'
    )
  fields = resumable_shards.settings(
    config, 'buckets', 'entropy.rows_per_part', 'entropy.shown'
  )
  names = {'model.source', 'model.dtype', 'model.param_dtype', 'length',
           'entropy.measure', 'entropy.rows_per_part'}  # fmt: skip
  names |= {name for name in fields if name.startswith('data.')}
  names -= {'data.test', 'data.scored'}  # which are not read here
  new = {f'config.{name}': fields[name] for name in sorted(names)}
  return resumable_shards.same_job(
    config, folder / 'entropy.json', new, source, 'entropies'
  )


def check_lengths(sizes: Iterable[int], length: int) -> None:
  """ValueError where no row has at most `length` tokens; asks for `sizes` up to
  the first that has."""
  longer = []
  for size in sizes:
    if size <= length:
      return
    longer.append(size)
  raise ValueError(
    f'config.length is {length}, and each of the {len(longer)} rows is longer: '
    f'write config.length={max(longer)}, which the longest has; the shortest '
    f'has {min(longer)} tokens, data.system and the template among them'
  )


def encoded(some: Sequence[dict], tokenizer, data: Config) -> list[Row]:
  """Rows as the model reads them. Each step is encoded by itself, as the
  curriculum does it: no token belongs to two of them."""
  rows, pieces = [], [worked(row) for row in some]
  texts = [step for steps, _ in pieces for step in steps]
  # All at once: the tokenizer uses every core. It refuses to encode nothing.
  every = tokenizer(texts, add_special_tokens=False) if texts else {}
  every = iter(every.get('input_ids', ()))
  for row, (steps, ending) in zip(some, pieces, strict=True):
    texts = prompt_ids(tokenizer, data, row), *islice(every, len(steps))
    fields = {'question': row['question'], 'steps': steps, 'ending': ending,
              'answer': row['answer']}  # fmt: skip
    rows.append(Row(fields, [*chain(*texts)], [*accumulate(map(len, texts))]))
  return rows


def batches(rows: Sequence[Row], config: Config) -> Iterator[tuple]:
  """(places in `rows`, tokens [b t], mask [b t]) of those that have steps, each
  beside others of about its length. Padding is on the right; t is config.length
  or half, a quarter, ... of it, as many as config.buckets."""
  lengths = [config.length >> k for k in range(config.buckets)]
  order = [i for i, row in enumerate(rows) if len(row.ends) > 1]
  order.sort(key=lambda i: len(rows[i].ids))
  for start in range(0, len(order), config.batch):
    places = order[start : start + config.batch]
    longest = len(rows[places[-1]].ids)
    t = min(length for length in lengths if length >= longest)
    tokens: Any = np.zeros((config.batch, t), np.int32)
    mask: Any = np.zeros(tokens.shape, bool)
    for row, i in enumerate(places):
      ids = rows[i].ids
      tokens[row, : len(ids)], mask[row, : len(ids)] = ids, True
    yield places, tokens, mask


def json_line(row: Row, entropies: Float[np.ndarray, 't'], measure: str) -> str:
  """A row of steps.jsonl; `entropies` of what follows each of its tokens."""
  # The token before one predicts it.
  spans = (entropies[a - 1 : b - 1] for a, b in pairwise(row.ends))
  found = [round(float(MEASURES[measure](span)), 6) for span in spans]
  if not np.isfinite(found).all():
    raise FloatingPointError(f'entropies {found} of {row.fields["question"]!r}')
  fields = row.fields | {'entropies': found}
  names = 'question', 'steps', 'ending', 'entropies', 'answer'
  return json.dumps({name: fields[name] for name in names}) + '\n'


def join(files, folder, tokenizer, config: Config, total: int) -> None:
  """Makes one file of the parts, and examples of its first rows."""
  some = map(json.loads, resumable_shards.lines(files))
  some = (row for row in some if row['steps'])
  known = config.curriculum.kwargs
  how = {name: known[name] for name in ('slots', 'shortest') if name in known}
  texts = []
  for row in islice(some, EXAMPLES):
    ids = tokenizer(row['steps'], add_special_tokens=False)['input_ids']
    texts.append(example(row, [*map(len, ids)], config.entropy.shown, **how))
  resumable_shards.write(folder / 'examples.txt', ['\n'.join(texts)])
  kept = resumable_shards.write(
    folder / 'steps.jsonl', resumable_shards.lines(files)
  )
  resumable_shards.say('\n'.join(texts))
  resumable_shards.say(
    f'{kept} of {total} rows are in {folder}/steps.jsonl; {total - kept} have '
    f'more than config.length={config.length} tokens'
  )


def example(
  row: dict, sizes: Sequence[int], shown: int, slots: int = 1, shortest: int = 3
) -> str:
  """A row as a person reads it: its steps, of `sizes` tokens, with their
  entropy and the stage that replaces them, and the solution at stage `shown`.
  """
  entropies, steps = row['entropies'], list(row['steps'])
  long = [i for i, size in enumerate(sizes) if size >= shortest]
  order = sorted(long, key=lambda i: entropies[i])
  stages = {i: stage for stage, i in enumerate(order, 1)}
  text = [_flat(row['question']), '', 'entropy  stage  step']
  for i, step in enumerate(steps):
    text.append(f'{entropies[i]:7.2f}  {stages.get(i, "-"):>5}  {_flat(step)}')
  text += [f'{"":16}{_flat(row["ending"])}', '', f'At stage {shown}:']
  for i in order[:shown]:
    steps[i] = '<start-latent>' + slots * '<latent>' + '<end-latent>'
  solution = ''.join([*steps, row['ending']]).strip()
  return '\n'.join([*text, indent(solution, '  ')]) + '\n'


def _flat(text: str) -> str:
  """On one line."""
  return ' '.join(text.split())


def _placed(x: np.ndarray, mesh: Mesh) -> jax.Array:
  """An array that every process has, on the mesh."""
  where = sharding.rows(x, mesh)
  return jax.make_array_from_callback(x.shape, where, x.__getitem__)


if __name__ == '__main__':
  cli.run(annotate, OPTIONS, resumes=False)
