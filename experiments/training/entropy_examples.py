"""Rows of step_entropy as text: step entropies and the stages of HyRea."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from textwrap import indent

from etils import epath

from .resumable_shards import read_lines

EXAMPLES = 10


def examples(
  files: Sequence[epath.Path], tokenizer, curriculum: Mapping, stage: int
) -> str:
  """The first rows of all files as text, the solutions at `stage`; `curriculum`
  has the kwargs of config.curriculum."""
  rows = map(json.loads, read_lines(files))
  rows = (row for row in rows if row['steps'])
  names = 'num_latents', 'min_step_tokens'
  kwargs = {name: curriculum[name] for name in names if name in curriculum}
  texts = []
  for row in islice(rows, EXAMPLES):
    ids = tokenizer(row['steps'], add_special_tokens=False)['input_ids']
    texts.append(example(row, [*map(len, ids)], stage, **kwargs))
  return '\n'.join(texts)


def example(
  row: dict,
  sizes: Sequence[int],
  stage: int,
  num_latents: int = 1,
  min_step_tokens: int = 3,
) -> str:
  """A row as text: its steps, of `sizes` tokens, with the entropy of each and
  the stage that replaces it, and the solution at `stage`."""
  entropies, steps = row['entropies'], list(row['steps'])
  # As hybrid_latent.curricula.hyrea: lowest entropy first, short steps stay.
  long = [i for i, size in enumerate(sizes) if size >= min_step_tokens]
  order = sorted(long, key=lambda i: entropies[i])
  stages = {i: number for number, i in enumerate(order, 1)}
  text = [_flat(row['question']), '', 'entropy  stage  step']
  for i, step in enumerate(steps):
    text.append(f'{entropies[i]:7.2f}  {stages.get(i, "-"):>5}  {_flat(step)}')
  text += [f'{"":16}{_flat(row["ending"])}', '', f'At stage {stage}:']
  for i in order[:stage]:
    steps[i] = '<start-latent>' + num_latents * '<latent>' + '<end-latent>'
  solution = ''.join([*steps, row['ending']]).strip()
  return '\n'.join([*text, indent(solution, '  ')]) + '\n'


def _flat(text: str) -> str:
  """The text on one line."""
  return ' '.join(text.split())
