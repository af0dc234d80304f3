r"""What models say to the test prompts, in several ways and with few tokens.

    python -m experiments.evaluate --workdir=runs/table \
        --config=experiments/configs/lrt.py:MODEL,rl \
        --config.eval.prompts=500 --config.eval.samples=4 \
        --config.evaluate.reasoners="('sft=FOLDER','sft+rl=FOLDER')" \
        --config.evaluate.models="('ShorterBetter=FOLDER',)"

A line of the table is a subject, a way and a budget. The base config.model and
config.evaluate.models, each NAME=FOLDER, are asked to think in words (the way
`explicit`) and not to think (`neither`); what the latter read then, NoThinking
or the empty thinking of Qwen3, is config.rollout.closing.neither. Reasoners of
the base are asked in the way `latent`.

A budget is all that a completion may have of decoded tokens, prompt and latents
not counted, and the only limit. It is forced as in s1 (arXiv 2501.19393) and in
Latent Reasoning Tuning (ICLR 2026): where config.evaluate.reserved tokens are
left, config.rollout.closing.cut or .late ask for the answer. `forced` is the
share of completions where that was so; where a model stops in the midst of its
thinking, it is asked likewise.

accuracy is the mean of the reward `accuracy` (without one of that name, of all
rewards) over config.eval.samples completions of each of config.eval.prompts
prompts, its standard error is that over prompts, and pass@k the share of
prompts with a right one among k, all over what was graded. judged and ungraded
count completions, too_long prompts that were not asked; of_all is the accuracy
with all of these as wrong. seconds are those of a completion, of all that
reading and writing took in batches of config.rollout.prompts * group; compiling
is not counted. latents are those of a prompt; for cosine see latent_cosine.py.

Writes WORKDIR/table.jsonl, line by line, and table.md. The same command goes on
after a stop; subjects, ways and budgets may be added.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('evaluate', __doc__))

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Bool, Float, Int

from hybrid_latent import cluster, metrics, sharding
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.rewards.grader import Grader, total
from hybrid_latent.types import Stop, Trajectory

from .fields.check import check as check_config
from .report.tables import markdown
from .training import resumable_shards
from .training.actor import feedback_of, rollout_mesh
from .training.cli import Config
from .training.dataset_sampling import decoding_actor, sampling_fields
from .training.latent_similarity import latent_figures
from .training.prompts import eval_batches_of, problems_of, prompt_ids
from .training.sampler import Sampler, prefill_and_decode

# Of a model that reads no latents.
PLAIN = dict(function='discrete:discrete', kwargs={}, parameters='', initial={})


class Line(NamedTuple):
  """Of the table: who is asked, in which way, and may say how much."""

  subject: str
  source: str  # the folder of a model or of a reasoner
  way: str
  budget: int  # tokens


class Said(NamedTuple):
  """Completions of all test prompts."""

  lengths: Int[np.ndarray, 'b']
  forced: Bool[np.ndarray, 'b']  # the model was asked for the answer
  right: Float[np.ndarray, 'u samples']
  seconds: float  # that they took
  too_long: int  # prompts that were not asked


def evaluate(config: Config, workdir: str) -> list[dict]:
  """Runs `config` in `workdir`. Returns the lines that it asks for."""
  folder = epath.Path(workdir)
  path, lines, made = folder / 'table.jsonl', lines_of(config), {}
  begin = check(config, folder)
  if path.exists():
    for row in map(json.loads, resumable_shards.lines([path])):
      made[Line(*[row[name] for name in Line._fields])] = row
  missing, turns = [x for x in lines if x not in made], itertools.count()

  def look():
    if cluster.told_to_end(next(turns)):
      raise cluster.Preempted(len(made), workdir)

  if missing:
    with Grader(config.rewards.to_dict(), **config.grader) as grader:
      for _, some in itertools.groupby(missing, key=lambda line: line[:3]):
        for line, found in measured(config, [*some], grader, look):
          made[line] = line._asdict() | found
          begin()
          resumable_shards.write(
            path, (f'{json.dumps(row)}\n' for row in made.values())
          )
          resumable_shards.say(json.dumps(made[line]))
  table = [made[line] for line in lines]
  shown = markdown(
    [{k: v for k, v in row.items() if k != 'source'} for row in table]
  )
  begin()
  resumable_shards.write(folder / 'table.md', [shown + '\n'])
  resumable_shards.say(f'{shown}\nwrote {folder}/table.md and table.jsonl')
  return table


def lines_of(config: Config) -> list[Line]:
  """The lines that a config asks for, those of one program together."""
  how = config.evaluate
  models = {'base': config.model.source} | folders(config, 'models')
  worded = [way for way in how.ways if way != 'latent']
  asked = [(*model, way) for model in models.items() for way in worded]
  if 'latent' in how.ways:
    reasoners = folders(config, 'reasoners')
    asked += [(*reasoner, 'latent') for reasoner in reasoners.items()]
  if not asked or not how.budgets:
    raise ValueError(
      f'config.evaluate: ways={how.ways}, reasoners={how.reasoners}, '
      f'budgets={how.budgets}: write a way and a budget; latent needs a '
      'reasoner'
    )
  return [Line(*some, budget) for some in asked for budget in how.budgets]


def folders(config: Config, field: str) -> dict[str, str]:
  """Those that a field of config.evaluate lists, by their names."""
  found: dict[str, str] = {}
  for text in config.evaluate[field]:
    name, _, folder = text.partition('=')
    if not name or not folder or name in ('base', *found):
      raise ValueError(
        f'config.evaluate.{field} has {text!r}: write NAME=FOLDER, with a name '
        f'that is not one of {["base", *found]}'
      )
    found[name] = folder
  return found


def check(config: Config, folder: epath.Path) -> Callable[[], None]:
  """What writes down what all lines depend on. ValueError, at once, for
  settings that cannot be, and where the folder has a table of something
  else."""
  check_config(config, 'evaluate', jax.process_count())
  counts = 'eval.samples', 'eval.prompts'
  fields = resumable_shards.settings(config, *counts)
  job = sampling_fields(fields, *counts, 'eval.sampling', 'evaluate.reserved')
  rows = problems_of(config.data)(split=config.data.test)
  return resumable_shards.same_job(
    config, folder / 'evaluate.json', job, rows, 'a table'
  )


def measured(
  config: Config,
  lines: Sequence[Line],
  grader: Grader,
  look: Callable[[], None],
) -> Iterator[tuple[Line, dict[str, float]]]:
  """Figures of lines that differ in their budgets, which one program writes;
  `look` is called before each batch."""
  config, samples = asking(config, lines[0]), config.eval.samples
  mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
  actor, feedback = decoding_actor(config, mesh), feedback_of(config.feedback)
  encode = partial(prompt_ids, actor.tokenizer, config.data)
  parts = config.data, config.rollout, config.eval
  tests = eval_batches_of(*parts, encode, int(actor.stop.pad))
  tests = trimmed(tests, config)
  functions = prefill_and_decode(config.rollout, feedback)
  sampler = Sampler(
    config.rollout, config.data, mesh, actor, *functions, grader
  )
  how = sampling(**{**config.rollout.sampling, **config.eval.sampling})
  *_, key = jax.random.split(jax.random.key(config.seed), 3)

  def said(batches: Sequence[dict], stop: Stop) -> Said:
    found, seconds = [], 0.0
    for batch in batches:
      look()
      start = perf_counter()
      prompt, ready = sampler.prefill(actor.policy, batch)
      out = sampler.sample(actor.policy, prompt, ready, key, how, samples, stop)
      jax.block_until_ready(out)
      seconds += perf_counter() - start
      rolled = sampler.collect(prompt, out, batch['rows'])
      valid = np.repeat(batch['valid'], samples)
      asked = forced(rolled.out, stop, lines[0].way == 'explicit')
      found.append((rolled.out.lengths, asked, valid, rolled.grades))
    found = [(*columns, grades()) for *columns, grades in found]
    lengths, asked, valid, grades = cluster.all_rows(
      jax.tree.map(lambda *some: np.concatenate(some), *found)
    )
    reward = total(grades, grader.weights, samples)
    value = grades.get('accuracy', reward)[valid]
    right = value.astype(float).reshape(-1, samples)
    too_long = batches[0]['too_long']
    return Said(lengths[valid], asked[valid], right, seconds, too_long)

  of_latents = {'latents': 0}
  if feedback.prefix:
    of_latents = latent_figures(actor.policy, tests, mesh)
  said(tests[:1], actor.stop._replace(limit=jnp.int32(1)))  # compiles
  for line in lines:
    budget = jnp.int32(line.budget)
    free = budget - config.rollout.reserved
    found = figures(said(tests, actor.stop._replace(limit=budget, budget=free)))
    both = found['tokens'] + of_latents['latents']
    yield line, found | of_latents | {'tokens_with_latents': both}


def asking(config: Config, line: Line) -> Config:
  """The config of the one that a line asks, without other limits."""
  config, how = config.copy_and_resolve_references(), config.evaluate
  config.steps = 0  # nothing is trained
  config.rollout.update(thinking=0, answer=0, buckets=1)
  config.rollout.update(
    mode=line.way, max_tokens=max(how.budgets), reserved=how.reserved
  )
  if line.way == 'neither':
    config.data.prefill += config.rollout.closing.neither
  if line.way == 'latent':
    config.feedback.initial.source = line.source
    return config
  config.model.source = line.source
  if feedback_of(config.feedback).prefix:
    with config.unlocked():
      config.feedback = PLAIN
  return config


def trimmed(tests: list[dict], config: Config) -> list[dict]:
  """Batches without the padding that all rows have; the config says how long
  the prompts still are."""
  longest = max(batch['mask'].sum(-1).max() for batch in tests)
  width = config.rollout.prompt_length = sharding.over_hosts(np.max, longest)
  cut = lambda batch: {name: batch[name][:, -width:]
                       for name in ('tokens', 'mask')}  # fmt: skip
  return [batch | cut(batch) for batch in tests]


def forced(out: Trajectory, stop: Stop, thinks: bool) -> Bool[np.ndarray, 'b']:
  """The rows where stop.closing was written for another reason than that a
  thinking had ended by itself, or that there was none."""
  end = out.thinking.sum(-1, keepdims=True)
  at, written = (
    np.arange(out.mask.shape[1]),
    (np.asarray(stop.closing[0]) >= 0).sum(),
  )
  first = end + thinks  # after the delimiter's last token
  ended = (at >= first) & (at < first + written)
  return np.any(out.mask & ~out.free & (at >= end) & ~ended, axis=-1)


def figures(said: Said) -> dict[str, float]:
  """Of completions; those that could not be graded count nowhere in the
  accuracy, and have a figure of their own."""
  graded = said.right[~np.isnan(said.right).all(1)]
  if not len(graded):
    raise ValueError('config.rewards could not grade a single completion')
  means, lengths = np.nanmean(graded, axis=1), said.lengths
  (n,), (prompts, samples) = means.shape, said.right.shape
  error = np.std(means, ddof=1) / n**0.5 if n > 1 else 0.0
  more = metrics.evaluation_metrics(said.right, said.too_long)
  more['too_long'] = said.too_long
  found = {'prompts': prompts, 'accuracy': means.mean()}
  found['standard_error'] = error
  names = 'judged', 'ungraded', 'too_long', 'of_all', f'pass@{samples}'
  found |= {name: more[name] for name in names if name in more}
  found |= {
    'tokens': lengths.mean(),
    'forced': said.forced.mean(),
    'seconds': said.seconds / len(lengths),
    'tokens_per_second': lengths.sum() / said.seconds,
  }
  return {name: np.asarray(x).item() for name, x in found.items()}


if __name__ == '__main__':
  cli.run(evaluate, OPTIONS, resumes=False)
