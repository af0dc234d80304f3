r"""Ablates a model's chain of thought: accuracy after deleting tokens or steps.

    python -m experiments.studies.cot_ablation --generated=runs/triples \
        --workdir=runs/fragments --config=CONFIG \
        [--kinds=token,step] [--shares=0,0.1,0.2,0.5]

Latent Reasoning Tuning (ICLR 2026) deletes each token, or each step, of a
model's reasoning independently with some probability, keeps the order, and lets
the model answer from what is left: MATH-500, R1-Distill-Qwen-7B, 92.8 with the
whole reasoning, 90.6 with half of the tokens and 89.5 with half of the steps
deleted.

Reads the rows of a folder of experiments.generate that was sampled with the
same CONFIG (with config.generate.min_reward=0, correct or not; the first
config.generate.num_prompts of them, 0: all). The model reads the prompt, what
is left of the reasoning, and config.rollout.end_of_thinking with
.forced_text.after_thinking; it then writes config.eval.num_generations answers
of up to config.rollout.max_answer_tokens tokens as in an evaluation, and
config.rewards grade the answers alone. A step is a sentence, a line or an
equation (curricula/steps.py); a token is one of a step that is encoded by
itself. What is deleted at a share is deleted at every higher share.

Writes WORKDIR/fragments.jsonl, one row per kind and share: the mean of the
reward `accuracy` (without one of that name, of the total reward) and its
standard error over rows; fragments.md, .svg and .png show it. WORKDIR/parts has
every answer. The same command resumes after a stop; shares may be added.
"""

from typing import Literal

from hybrid_latent.ranges import UnitFloat

from ..fields.accepted import Folder
from ..training import cli

KINDS = 'token', 'step'
SHARES = tuple(i / 10 for i in range(10))


def _parser() -> cli.Parser:
  parser = cli.config_parser('studies.cot_ablation', __doc__)
  add = parser.add_argument
  about = 'folder of experiments.generate'
  add('--generated', required=True, type=cli.value(Folder), help=about)
  kinds = cli.value(tuple[Literal[KINDS], ...])
  add('--kinds', type=kinds, default=KINDS, help='what to delete')
  shares = cli.value(tuple[UnitFloat, ...])
  add('--shares', type=shares, default=SHARES, help='shares to delete')
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(_parser())

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from hybrid_latent import sharding
from hybrid_latent.curricula.steps import split_steps
from hybrid_latent.data.jsonl import problems
from hybrid_latent.ops.thinking import FORCED_IDS

from ..report.tables import markdown_table
from ..training.actor import rollout_mesh
from ..training.cli import Config
from ..training.dataset_sampling import (
  Completion,
  batch_generator,
  decoding_actor,
  sampling_fields,
)
from ..training.prompts import prompt_ids
from ..training.resumable_shards import (
  config_fields,
  existing,
  print_once,
  read_lines,
  validate_job,
  write_lines,
)
from ..training.sampler import eval_sampling
from .ablation_plot import plot_ablation


def analyze(
  config: Config,
  workdir: str,
  *,
  generated: str,
  kinds: Sequence[str] = KINDS,
  shares: Sequence[float] = SHARES,
) -> list[dict]:
  """Samples answers after deleting each of `shares` of the reasoning in the
  folder `generated`. Returns the rows of WORKDIR/fragments.jsonl."""
  folder = epath.Path(workdir)
  source = problems('generated', generated, 'train')
  count = min(config.generate.num_prompts or len(source), len(source))
  source = [source[i] for i in range(count)]
  record = validate(config, folder, source, kinds, shares)
  files = {(k, p): answer_file(folder, k, p) for k in kinds for p in shares}
  exist = existing([*files.values()])
  # By file: with nothing deleted, or everything, all kinds have the same one.
  missing = {
    files[key]: key
    for key, exists in zip(files, exist, strict=True)
    if not exists
  }
  if missing:
    write_answers(config, workdir, source, missing, record)
  record()
  if jax.process_index():
    return []
  table = [summarize(path, *key) for key, path in files.items()]
  write_lines(folder / 'fragments.jsonl', (f'{json.dumps(x)}\n' for x in table))
  shown = markdown_table(kinds_side_by_side(table))
  write_lines(folder / 'fragments.md', [shown + '\n'])
  plot_ablation(folder, table, count)
  print_once(
    f'{shown}\nwrote {folder}/fragments.md, .jsonl, .svg and .png; every '
    f'answer is in {folder}/parts'
  )
  return table


def validate(
  config: Config,
  folder: epath.Path,
  source: Sequence[dict],
  kinds: Sequence[str],
  shares: Sequence[float],
) -> Callable[[], None]:
  """Returns what records the settings that the answers depend on
  (`resumable_shards.validate_job`). ValueError, at once, for settings that
  cannot be, and where the folder has answers of other settings."""
  if unknown := sorted({*kinds} - {*KINDS}):
    raise ValueError(f'--kinds: {unknown}: write some of {",".join(KINDS)}')
  if not all(0 <= share <= 1 for share in shares):
    raise ValueError(f'--shares: {[*shares]}: write shares from 0 to 1')
  if not source:
    raise ValueError('--generated: the folder has no rows: write one that has')
  fields = config_fields(config, 'eval.num_generations')
  job = sampling_fields(fields, 'eval.num_generations', 'eval.sampling')
  return validate_job(config, folder / 'job.json', job, source, 'answers')


def write_answers(
  config: Config,
  workdir: str,
  source: Sequence[dict],
  missing: Mapping[epath.Path, tuple[str, float]],
  record: Callable[[], None],
) -> None:
  """Writes each of the `missing` files, the answers at a kind and share;
  `record` is called before."""
  mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
  config = answer_config(config)
  actor = decoding_actor(config, mesh)
  # Thinking may have no token: the closing text is forced at once.
  actor = actor._replace(
    stop=actor.stop._replace(max_thinking_tokens=jnp.int32(0))
  )
  tokenizer: Any = actor.tokenizer
  prompts = [prompt_ids(tokenizer, config.data, row) for row in source]
  texts = [step_ids(tokenizer, row['reasoning']) for row in source]
  # One shape for all shares, so that one program serves them.
  config.rollout.max_prompt_length = max(
    len(prompt) + sum(map(len, steps))
    for prompt, steps in zip(prompts, texts, strict=True)
  )
  rows = [{'question': row['question'], 'answer': row['answer'], 'row': i}
          for i, row in enumerate(source)]  # fmt: skip
  sampling_params = eval_sampling(config.rollout, config.eval)
  with batch_generator(
    config, mesh, actor, sampling_params, config.eval.num_generations, workdir
  ) as completions:
    for number, (path, (kind, share)) in enumerate(missing.items()):
      left = [
        ablate(steps, kind, share, seed=config.seed, row=i)
        for i, steps in enumerate(texts)
      ]
      encode = lambda row, left=left: prompts[row['row']] + left[row['row']]
      found = completions(rows, encode, number)
      record()
      write_lines(
        path, [json_line(x, len(left[x.prompt]), tokenizer) for x in found]
      )
      print_once(f'{path.stem}: {len(found)} answers')


def answer_config(config: Config) -> Config:
  """The config that samples the closing text and an answer, no thinking."""
  config = config.copy_and_resolve_references()
  rollout = config.rollout
  rollout.forced_text.on_truncation = (
    rollout.end_of_thinking + rollout.forced_text.after_thinking
  )
  rollout.max_answer_tokens = (
    rollout.max_answer_tokens or rollout.max_completion_length
  )
  rollout.max_completion_length = rollout.max_answer_tokens + FORCED_IDS
  rollout.buckets = 1
  return config


def step_ids(tokenizer, text: str) -> list[list[int]]:
  """The ids of each step of a text: no token belongs to two steps."""
  if not (steps := split_steps(text)):
    return []  # the tokenizer rejects an empty list
  return tokenizer(steps, add_special_tokens=False)['input_ids']


def ablate(
  steps: Sequence[Sequence[int]],
  kind: str,
  share: float,
  *,
  seed: int,
  row: int,
) -> list[int]:
  """The ids that are left when each token of the steps, or each whole step, is
  deleted with probability `share`: all at 0, none at 1; what is left at a share
  is a subset of what is left at every lower share."""
  units = steps if kind == 'step' else [[i] for step in steps for i in step]
  kept = np.random.default_rng((seed, row)).random(len(units)) >= share
  return [
    i for unit, keep in zip(units, kept, strict=True) if keep for i in unit
  ]


def answer_file(folder: epath.Path, kind: str, share: float) -> epath.Path:
  """The file of the answers at a kind and share."""
  name = 'whole' if share == 0 else 'nothing' if share == 1 else ''
  name = name or f'{kind}-{share}'
  return folder / 'parts' / f'{name}.jsonl'


def json_line(completion: Completion, left: int, tokenizer) -> str:
  """A line of an answer file; `left` tokens of the reasoning were read."""
  graded = completion.grades | {'reward': completion.reward}
  graded = {k: None if np.isnan(x) else x for k, x in graded.items()}
  text = tokenizer.decode(completion.tokens, skip_special_tokens=True)
  fields = {'row': completion.prompt, 'left': left, **graded, 'response': text}
  return json.dumps(fields) + '\n'


def summarize(path: epath.Path, kind: str, share: float) -> dict:
  """A row of fragments.jsonl, without ungraded answers. The answers to one row
  are not independent, so the error is that of the mean over rows."""
  answers = [*map(json.loads, read_lines([path]))]
  graded: dict[int, list[float]] = {}
  for x in answers:
    value = x.get('accuracy', x['reward'])
    if value is not None:
      graded.setdefault(x['row'], []).append(value)
  if not graded:
    raise ValueError(f'{path}: the rewards could not grade a single answer')
  means = [np.mean(values) for values in graded.values()]
  n = len(means)
  num_graded = sum(map(len, graded.values()))
  return {
    'kind': kind,
    'share': share,
    'accuracy': float(np.mean(means)),
    'standard_error': float(np.std(means, ddof=1) / n**0.5) if n > 1 else 0.0,
    'tokens_left': float(np.mean([x['left'] for x in answers])),
    'n': n,
    'judged': num_graded,
    'ungraded': len(answers) - num_graded,
  }


def kinds_side_by_side(table: Sequence[dict]) -> list[dict]:
  """One line per share, with the columns of all kinds."""
  lines: dict[float, dict] = {}
  for row in table:
    line = lines.setdefault(row['share'], {'deleted': row['share']})
    error = row['standard_error']
    line[f'by {row["kind"]}'] = f'{row["accuracy"]:.3f} ± {error:.3f}'
    line[f'tokens left, by {row["kind"]}'] = f'{row["tokens_left"]:.1f}'
  return [*lines.values()]


if __name__ == '__main__':
  names = 'generated', 'kinds', 'shares'
  options = {name: getattr(OPTIONS.flags, name) for name in names}
  cli.run(partial(analyze, **options), OPTIONS, resumes=False)
