r"""How much of its reasoning a model needs: answers from fragments of it.

    python -m experiments.studies.cot_ablation --generated=runs/triples \
        --workdir=runs/fragments --config=CONFIG \
        [--kinds=token,step] [--shares=0,0.1,0.2,0.5]

Latent Reasoning Tuning (ICLR 2026) deletes each token, or each step, of a
model's reasoning by itself with some probability, keeps the order, and lets the
model answer from what is left: MATH-500, R1-Distill-Qwen-7B, 92.8 with all of
it, 90.6 with half of the tokens and 89.5 with half of the steps deleted.

Reads the rows of a folder of experiments.generate, which has sampled with the
same CONFIG (with config.generate.least=0, right or wrong; the first
config.generate.prompts of them, 0: all). The model reads the prompt, what is
left, and config.rollout.delimiter with .closing.ended; it then writes
config.eval.samples answers of up to config.rollout.answer tokens as in an
evaluation, and config.rewards grade these, without what is left. A step is a
sentence, a line or an equation (curricula/steps.py); a token is one of a step
that is encoded by itself. What is deleted at a share is so at every higher one.

Writes WORKDIR/fragments.jsonl, a kind and share a line: the mean of the reward
`accuracy` (without one of that name, of all rewards) and its standard error
over the rows; fragments.md, .svg and .png show it. WORKDIR/parts has every
answer. The same command goes on after a stop; more shares may be added.
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
  add(
    '--generated',
    required=True,
    type=cli.value(Folder),
    help='folder of experiments.generate',
  )
  add('--kinds', type=cli.value(tuple[Literal[KINDS], ...]), default=KINDS)
  add('--shares', type=cli.value(tuple[UnitFloat, ...]), default=SHARES)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(_parser())

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from etils import epath
from matplotlib.figure import Figure

from hybrid_latent import sharding
from hybrid_latent.curricula.steps import split_steps
from hybrid_latent.data.jsonl import problems
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.ops.thinking import CLOSING_IDS

from ..report.tables import markdown
from ..training import resumable_shards
from ..training.actor import rollout_mesh
from ..training.cli import Config
from ..training.dataset_sampling import (
  Completion,
  batch_generator,
  decoding_actor,
  sampling_fields,
)
from ..training.prompts import prompt_ids


def analyze(
  config: Config,
  workdir: str,
  *,
  generated: str,
  kinds: Sequence[str] = KINDS,
  shares: Sequence[float] = SHARES,
) -> list[dict]:
  """Answers from what is left where each of `shares` of the reasoning in the
  folder `generated` is deleted. Returns the rows of WORKDIR/fragments.jsonl."""
  folder = epath.Path(workdir)
  source = problems('generated', generated, 'train')
  count = min(config.generate.prompts or len(source), len(source))
  source = [source[i] for i in range(count)]
  begin = check(config, folder, source, kinds, shares)
  files = {(k, p): file_of(folder, k, p) for k in kinds for p in shares}
  done = resumable_shards.there([*files.values()])
  todo = [key for key, over in zip(files, done, strict=True) if not over]
  # Nothing deleted, or everything, is the same for all kinds.
  todo = {files[key]: key for key in todo}
  if todo:
    answer(config, workdir, source, todo, begin)
  begin()
  if jax.process_index():
    return []
  table = [outcome(path, *key) for key, path in files.items()]
  resumable_shards.write(
    folder / 'fragments.jsonl', (f'{json.dumps(x)}\n' for x in table)
  )
  shown = markdown(side_by_side(table))
  resumable_shards.write(folder / 'fragments.md', [shown + '\n'])
  plot(folder, table, count)
  resumable_shards.say(
    f'{shown}\nwrote {folder}/fragments.md, .jsonl, .svg and .png; every '
    f'answer is in {folder}/parts'
  )
  return table


def check(
  config: Config,
  folder: epath.Path,
  source: Sequence[dict],
  kinds: Sequence[str],
  shares: Sequence[float],
) -> Callable[[], None]:
  """What writes down what the answers depend on. ValueError, at once, for
  settings that cannot be, and where the folder has answers of something
  else."""
  if unknown := sorted({*kinds} - {*KINDS}):
    raise ValueError(f'--kinds: {unknown}: write some of {",".join(KINDS)}')
  if not all(0 <= share <= 1 for share in shares):
    raise ValueError(f'--shares: {[*shares]}: write shares from 0 to 1')
  if not source:
    raise ValueError('--generated: the folder has no rows: write one that has')
  fields = resumable_shards.settings(config, 'eval.samples')
  job = sampling_fields(fields, 'eval.samples', 'eval.sampling')
  return resumable_shards.same_job(
    config, folder / 'job.json', job, source, 'answers'
  )


def answer(
  config: Config,
  workdir: str,
  source: Sequence[dict],
  todo: dict[epath.Path, tuple[str, float]],
  begin: Callable[[], None],
) -> None:
  """Writes each of the files `todo`: the answers at a kind and share; `begin`
  is called before the first."""
  mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
  config = answering(config)
  actor = decoding_actor(config, mesh)
  # A thinking that may have no token is cut, and closed, at once.
  actor = actor._replace(stop=actor.stop._replace(thinking=jnp.int32(0)))
  tokenizer: Any = actor.tokenizer
  prompts = [prompt_ids(tokenizer, config.data, row) for row in source]
  texts = [steps_of(tokenizer, row['reasoning']) for row in source]
  # One shape for all shares, so that one program serves them.
  config.rollout.prompt_length = max(
    len(prompt) + sum(map(len, steps))
    for prompt, steps in zip(prompts, texts, strict=True)
  )
  rows = [{'question': row['question'], 'answer': row['answer'], 'row': i}
          for i, row in enumerate(source)]  # fmt: skip
  how = sampling(**{**config.rollout.sampling, **config.eval.sampling})
  samples = config.eval.samples
  with batch_generator(
    config, mesh, actor, how, samples, workdir
  ) as completions:
    for number, (path, (kind, share)) in enumerate(todo.items()):
      left = [
        fragment(steps, kind, share, seed=config.seed, row=i)
        for i, steps in enumerate(texts)
      ]
      encode = lambda row, left=left: prompts[row['row']] + left[row['row']]
      found = completions(rows, encode, number)
      begin()
      resumable_shards.write(
        path, [json_line(x, len(left[x.prompt]), tokenizer) for x in found]
      )
      resumable_shards.say(f'{path.stem}: {len(found)} answers')


def answering(config: Config) -> Config:
  """The config where all has been thought: the closing text, then an answer."""
  config = config.copy_and_resolve_references()
  rollout = config.rollout
  rollout.closing.cut = rollout.delimiter + rollout.closing.ended
  rollout.answer = rollout.answer or rollout.max_tokens
  rollout.max_tokens = rollout.answer + CLOSING_IDS
  rollout.buckets = 1
  return config


def steps_of(tokenizer, text: str) -> list[list[int]]:
  """The steps of a text, as ids: no token belongs to two of them."""
  steps = split_steps(text)
  # It refuses to encode nothing.
  return (
    tokenizer(steps, add_special_tokens=False)['input_ids'] if steps else []
  )


def fragment(
  steps: Sequence[Sequence[int]],
  kind: str,
  share: float,
  *,
  seed: int,
  row: int,
) -> list[int]:
  """What is left of some steps when each token of them, or each whole step, is
  deleted with probability `share`: all at 0, nothing at 1, and at a higher
  share a part of what is left at a lower one."""
  units = steps if kind == 'step' else [[i] for step in steps for i in step]
  kept = np.random.default_rng((seed, row)).random(len(units)) >= share
  return [
    i for unit, keep in zip(units, kept, strict=True) if keep for i in unit
  ]


def file_of(folder: epath.Path, kind: str, share: float) -> epath.Path:
  """Where the answers at a kind and share belong."""
  name = 'whole' if share == 0 else 'nothing' if share == 1 else ''
  name = name or f'{kind}-{share}'
  return folder / 'parts' / f'{name}.jsonl'


def json_line(completion: Completion, left: int, tokenizer) -> str:
  """An answer: of which row, of how many tokens of reasoning."""
  graded = completion.grades | {'reward': completion.reward}
  graded = {k: None if np.isnan(x) else x for k, x in graded.items()}
  text = tokenizer.decode(completion.tokens, skip_special_tokens=True)
  fields = {'row': completion.prompt, 'left': left, **graded, 'response': text}
  return json.dumps(fields) + '\n'


def outcome(path: epath.Path, kind: str, share: float) -> dict:
  """A row of fragments.jsonl. The answers to one row are not independent, so
  the error is that of the mean over rows; those not graded count nowhere."""
  answers = [*map(json.loads, resumable_shards.lines([path]))]
  graded: dict[int, list[float]] = {}
  for x in answers:
    value = x.get('accuracy', x['reward'])
    if value is not None:
      graded.setdefault(x['row'], []).append(value)
  if not graded:
    raise ValueError(f'{path}: the rewards could not grade a single answer')
  means = [np.mean(values) for values in graded.values()]
  n = len(means)
  judged = sum(map(len, graded.values()))
  return {
    'kind': kind,
    'share': share,
    'accuracy': float(np.mean(means)),
    'standard_error': float(np.std(means, ddof=1) / n**0.5) if n > 1 else 0.0,
    'tokens_left': float(np.mean([x['left'] for x in answers])),
    'n': n,
    'judged': judged,
    'ungraded': len(answers) - judged,
  }


def side_by_side(table: Sequence[dict]) -> list[dict]:
  """A line a share, with the kinds beside each other."""
  lines: dict[float, dict] = {}
  for row in table:
    line = lines.setdefault(row['share'], {'deleted': row['share']})
    error = row['standard_error']
    line[f'by {row["kind"]}'] = f'{row["accuracy"]:.3f} ± {error:.3f}'
    line[f'tokens left, by {row["kind"]}'] = f'{row["tokens_left"]:.1f}'
  return [*lines.values()]


def plot(folder: epath.Path, table: Sequence[dict], rows: int) -> None:
  """fragments.svg and .png: accuracy over the share, a line a kind."""
  figure = Figure(figsize=(5, 3.2), layout='constrained')
  ax = figure.subplots()
  for kind in dict.fromkeys(row['kind'] for row in table):
    points = sorted(
      (row['share'], row['accuracy'], row['standard_error'])
      for row in table
      if row['kind'] == kind
    )
    share, mean, error = zip(*points, strict=True)
    ax.errorbar(share, mean, error, label=f'by {kind}', capsize=2, marker='.')
  ax.set_title(
    f'Accuracy ({rows} rows, ± standard error)', fontsize=8, loc='left'
  )
  ax.set_xlabel('share of the reasoning that is deleted', fontsize=8)
  ax.spines[['top', 'right']].set_visible(False)
  ax.grid(axis='y', alpha=0.25)
  ax.tick_params(labelsize=8)
  ax.legend(frameon=False, fontsize=8)
  for kind, about in (('svg', {'Date': None}), ('png', {})):
    with (
      mpl.rc_context({'svg.hashsalt': 'fragments'}),  # the same file again
      resumable_shards.whole(folder / f'fragments.{kind}') as draft,
      draft.open('wb') as file,
    ):
      figure.savefig(file, format=kind, dpi=150, metadata=about)


if __name__ == '__main__':
  names = 'generated', 'kinds', 'shares'
  options = {name: getattr(OPTIONS.flags, name) for name in names}
  cli.run(partial(analyze, **options), OPTIONS, resumes=False)
