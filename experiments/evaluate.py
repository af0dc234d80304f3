r"""Evaluates models on the test prompts, per mode and token budget.

    python -m experiments.evaluate --workdir=runs/table \
        --config=lrt:MODEL,rl \
        --config.eval.num_prompts=500 --config.eval.num_generations=4 \
        --config.evaluate.reasoners="('sft=FOLDER','sft+rl=FOLDER')" \
        --config.evaluate.models="('ShorterBetter=FOLDER',)"

A row of the table is a model or reasoner (column `subject`), a mode and a
budget. The models config.model (`base`) and config.evaluate.models, each
NAME=FOLDER, are evaluated with a chain of thought (mode `chain_of_thought`) and
without thinking (`no_thinking`); the text that then closes the thinking in the
prompt, that of NoThinking or the empty thinking of Qwen3, is
config.rollout.forced_text.no_thinking. Reasoners of the base model are
evaluated in mode `latent`.

A budget is the number of tokens that a completion may have, prompt and latents
not counted, and the only limit. It is enforced as in s1 (arXiv 2501.19393) and
in Latent Reasoning Tuning (ICLR 2026): when config.evaluate.answer_reserve
tokens are left, config.rollout.forced_text.on_truncation or .on_budget is
forced, after which the answer follows. `forced` is the share of completions
with such a forced text; it is also forced where a model ends its completion
within its thinking.

accuracy is the mean of the reward `accuracy` (without one of that name, of the
total reward) over config.eval.num_generations completions of each of
config.eval.num_prompts prompts; its standard error is over prompts; pass@k is
the share of prompts with a correct completion among k. All three are over
graded completions. judged and ungraded count completions, too_long counts
prompts that were left out; of_all is the accuracy with all of these counted as
wrong. seconds is the time per completion of prefill and decoding in batches of
config.rollout.prompts_per_step * config.rollout.num_generations rows, without
compilation. latents is the number of latents per prompt; for cosine see
training/latent_similarity.py.

Writes WORKDIR/table.jsonl, row by row, and table.md. The same command resumes
after a stop; models, modes and budgets may be added.
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

from hybrid_latent import cluster, sharding
from hybrid_latent.rewards.grader import Grader, total
from hybrid_latent.types import StoppingRule

from .fields.check import check
from .fields.named import problems_of
from .report.tables import markdown_table
from .training.actor import feedback_of, rollout_mesh
from .training.cli import Config
from .training.dataset_sampling import decoding_actor, sampling_fields
from .training.evaluation import Evaluation, forced_rows, table_metrics
from .training.latent_similarity import latent_metrics
from .training.prompts import eval_batches_of, prompt_ids
from .training.resumable_shards import (
  config_fields,
  print_once,
  read_lines,
  validate_job,
  write_lines,
)
from .training.sampler import Sampler, eval_sampling, prefill_and_decode
from .training.setup import run_keys

# The feedback of a model that reads no latents.
DISCRETE = dict(
  function='discrete:discrete', kwargs={}, init='', init_kwargs={}
)


class Row(NamedTuple):
  """What a row of the table evaluates; the fields are its first columns."""

  subject: str
  source: str  # the folder of a model or of a reasoner
  mode: str
  budget: int  # tokens


def evaluate(config: Config, workdir: str) -> list[dict]:
  """Runs `config` in `workdir`. Returns the rows of the table."""
  folder, done = epath.Path(workdir), {}
  path = folder / 'table.jsonl'
  rows = table_rows(config.evaluate, config.model.source)
  record = validate(config, folder)
  if path.exists():
    for fields in map(json.loads, read_lines([path])):
      # `way` is the name of `mode` in tables of older versions.
      fields = {'mode' if k == 'way' else k: x for k, x in fields.items()}
      done[Row(*[fields[name] for name in Row._fields])] = fields
  missing, turns = [row for row in rows if row not in done], itertools.count()

  def check_preemption():
    if cluster.preemption_requested(next(turns)):
      raise cluster.Preempted(len(done), workdir)

  if missing:
    with Grader(config.rewards.to_dict(), **config.grader) as grader:
      # Rows that differ in the budget alone share their programs.
      for _, some in itertools.groupby(missing, key=lambda row: row[:3]):
        for row, figures in evaluate_rows(
          config, [*some], grader, check_preemption
        ):
          done[row] = row._asdict() | figures
          record()
          write_lines(
            path, (f'{json.dumps(fields)}\n' for fields in done.values())
          )
          print_once(json.dumps(done[row]))
  table = [done[row] for row in rows]
  shown = markdown_table(
    [{k: v for k, v in row.items() if k != 'source'} for row in table]
  )
  record()
  write_lines(folder / 'table.md', [shown + '\n'])
  print_once(f'{shown}\nwrote {folder}/table.md and table.jsonl')
  return table


def table_rows(evaluate: Config, base: str) -> list[Row]:
  """The rows of `config.evaluate`, with the model `base` among the subjects;
  rows that share a program are adjacent."""
  models = {'base': base} | named_folders('models', evaluate.models)
  modes = [mode for mode in evaluate.modes if mode != 'latent']
  subjects = [(*model, mode) for model in models.items() for mode in modes]
  if 'latent' in evaluate.modes:
    reasoners = named_folders('reasoners', evaluate.reasoners)
    subjects += [(*reasoner, 'latent') for reasoner in reasoners.items()]
  if not subjects or not evaluate.budgets:
    raise ValueError(
      f'config.evaluate: modes={evaluate.modes}, '
      f'reasoners={evaluate.reasoners}, '
      f'budgets={evaluate.budgets}: write a mode and a budget; latent needs a '
      'reasoner'
    )
  return [Row(*x, budget) for x in subjects for budget in evaluate.budgets]


def named_folders(field: str, texts: Sequence[str]) -> dict[str, str]:
  """Name -> folder, of the 'NAME=FOLDER' that a field of config.evaluate
  has."""
  folders: dict[str, str] = {}
  for text in texts:
    name, _, folder = text.partition('=')
    if not name or not folder or name in ('base', *folders):
      raise ValueError(
        f'config.evaluate.{field} has {text!r}: write NAME=FOLDER, with a name '
        f'that is not one of {["base", *folders]}'
      )
    folders[name] = folder
  return folders


def validate(config: Config, folder: epath.Path) -> Callable[[], None]:
  """Returns what records the settings that all rows depend on
  (`resumable_shards.validate_job`). ValueError, at once, for settings that
  cannot be, and where the folder has a table of other settings."""
  check(config, 'evaluate', jax.process_count())
  counts = 'eval.num_generations', 'eval.num_prompts'
  fields = config_fields(config, *counts)
  job = sampling_fields(
    fields, *counts, 'eval.sampling', 'evaluate.answer_reserve'
  )
  rows = problems_of(config.data)(split=config.data.test_split)
  return validate_job(config, folder / 'evaluate.json', job, rows, 'a table')


def evaluate_rows(
  config: Config,
  rows: Sequence[Row],
  grader: Grader,
  check_preemption: Callable[[], None],
) -> Iterator[tuple[Row, dict[str, float]]]:
  """The figures of rows that differ in their budgets alone, by one program;
  `check_preemption` is called before each batch."""
  config, samples = config_of_row(config, rows[0]), config.eval.num_generations
  mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
  actor = decoding_actor(config, mesh)
  feedback = feedback_of(config.feedback)
  encode = partial(prompt_ids, actor.tokenizer, config.data)
  parts = config.data, config.rollout, config.eval
  batches, width = trim_prompts(eval_batches_of(*parts, encode, actor.pad_id))
  config.rollout.max_prompt_length = width
  functions = prefill_and_decode(config.rollout, feedback)
  sampler = Sampler(
    config.rollout, config.data, mesh, actor, *functions, grader
  )
  sampling_params = eval_sampling(config.rollout, config.eval)
  key = run_keys(config.seed).evaluation

  def run(batches: Sequence[dict], stop: StoppingRule) -> Evaluation:
    found, seconds = [], 0.0
    for batch in batches:
      check_preemption()
      start = perf_counter()
      prompt, ready = sampler.prefill(actor.policy, batch)
      out = sampler.sample(
        actor.policy, prompt, ready, key, sampling_params, samples, stop
      )
      jax.block_until_ready(out)
      seconds += perf_counter() - start
      rolled = sampler.collect(prompt, out, batch['rows'])
      valid = np.repeat(batch['valid'], samples)
      forced = forced_rows(rolled.out, stop, rows[0].mode == 'chain_of_thought')
      found.append((rolled.out.lengths, forced, valid, rolled.grades))
    found = [(*columns, grades()) for *columns, grades in found]
    lengths, forced, valid, grades = cluster.all_rows(
      jax.tree.map(lambda *some: np.concatenate(some), *found)
    )
    reward = total(grades, grader.weights, samples)
    correct = grades.get('accuracy', reward)[valid]
    correct = correct.astype(float).reshape(-1, samples)
    too_long = batches[0]['too_long']
    return Evaluation(lengths[valid], forced[valid], correct, seconds, too_long)

  latents = {'latents': 0}
  if feedback.prefix:
    latents = latent_metrics(actor.policy, batches, mesh)
  # Limits are traced: one token compiles the program of every budget.
  run(batches[:1], actor.stop._replace(max_tokens=jnp.int32(1)))
  for row in rows:
    limit = jnp.int32(row.budget)
    budget = limit - config.rollout.answer_reserve
    evaluation = run(
      batches, actor.stop._replace(max_tokens=limit, budget=budget)
    )
    figures = table_metrics(evaluation)
    both = figures['tokens'] + latents['latents']
    yield row, figures | latents | {'tokens_with_latents': both}


def config_of_row(config: Config, row: Row) -> Config:
  """The config that evaluates a row's subject in its mode, without limits other
  than the budget."""
  config, evaluate = config.copy_and_resolve_references(), config.evaluate
  config.max_steps = 0  # nothing is trained
  config.rollout.update(max_thinking_tokens=0, max_answer_tokens=0, buckets=1)
  config.rollout.update(
    mode=row.mode,
    max_completion_length=max(evaluate.budgets),
    answer_reserve=evaluate.answer_reserve,
  )
  if row.mode == 'no_thinking':
    config.data.prefill += config.rollout.forced_text.no_thinking
  if row.mode == 'latent':
    config.feedback.init_kwargs.source = row.source
    return config
  config.model.source = row.source
  if feedback_of(config.feedback).prefix:
    with config.unlocked():
      config.feedback = DISCRETE
  return config


def trim_prompts(batches: list[dict]) -> tuple[list[dict], int]:
  """Batches without the padding that all rows of all hosts have, and the prompt
  length that is left."""
  longest = max(batch['mask'].sum(-1).max() for batch in batches)
  width = sharding.over_hosts(np.max, longest)
  cut = lambda batch: {name: batch[name][:, -width:]
                       for name in ('tokens', 'mask')}  # fmt: skip
  return [batch | cut(batch) for batch in batches], width


if __name__ == '__main__':
  cli.run(evaluate, OPTIONS, resumes=False)
