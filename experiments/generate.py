r"""Samples what a model thinks and says: what LRT's first stage learns from.

    python -m experiments.generate --workdir=runs/triples \
        --config=experiments/configs/hyrea_rl_math.py:MODEL,words \
        --config.data.path=FOLDER --config.generate.samples=4

Reads the prompts of config.data.train, samples config.generate.samples
completions of each as a trainer would (config.rollout, .feedback) and grades
them (config.rewards). Any config for RL will do; what it says of training is
not read.

Writes WORKDIR/train.jsonl, to be read as the task `generated`: a completion a
line in the order of the data. `reasoning` is all before the delimiter and
`response` what follows, white space included; what the prompt put into the
model's mouth (config.data.prefill) is in none, but the rewards see it.
`reasoning_tokens` counts the delimiter too, `response_tokens` the token that
ended the row. `complete` says that the model itself wrote the delimiter and
came to an end. A completion is kept if it is complete and its reward is at
least config.generate.least; with least=-inf, whatever it is. Prompts of more
than config.rollout.prompt_length tokens are left out.

The same command goes on after a stop and samples no finished part again; once
all are there, another `least` makes another train.jsonl of them at once. What
is sampled depends on the seed and on the number of the prompt, not on the parts
or on the devices.
"""

from .training import cli

if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(cli.config_parser('generate', __doc__))

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from etils import epath

from hybrid_latent import sharding
from hybrid_latent.data.prompts import check_lengths
from hybrid_latent.ops.sampling import sampling

from .training import resumable_shards
from .training.actor import Actor, rollout_mesh
from .training.cli import Config
from .training.dataset_sampling import (
  Completion,
  batch_generator,
  decoding_actor,
  sampling_fields,
)
from .training.next_command import next_command
from .training.prompts import problems_of, prompt_ids


def generate(config: Config, workdir: str) -> str:
  """Runs `config` in `workdir`, from its first part that is not there. Returns
  the file of the completions that are kept."""
  # ------------------------------------------------- data, and what is there
  source = problems_of(config.data)(split=config.data.train)
  folder, how = epath.Path(workdir), config.generate
  count = min(how.prompts or len(source), len(source))
  begin = check(config, folder, source, count)
  ranges = resumable_shards.ranges(count, how.rows_per_part)
  files = resumable_shards.numbered(folder, len(ranges))
  todo = [i for i, over in enumerate(resumable_shards.there(files)) if not over]

  # -------------------------------------------------------------------- loop
  if todo:
    mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
    actor = decoding_actor(config, mesh)
    tokenizer: Any = actor.tokenizer
    check_delimiter(config.rollout.delimiter, actor)
    encode = partial(prompt_ids, tokenizer, config.data)
    asked = [source[i] for i in range(count)]
    check_lengths(asked, encode, config.rollout.prompt_length)
    decode = partial(tokenizer.decode, skip_special_tokens=True)
    draws = sampling(**config.rollout.sampling)
    with batch_generator(
      config, mesh, actor, draws, how.samples, workdir
    ) as completions:
      for number in todo:
        some = [source[i] for i in ranges[number]]
        found = completions(some, encode, number, ranges[number].start)
        lines = [
          json_line(x, source[x.prompt], config.rollout.delimiter, decode)
          for x in found
        ]
        begin()
        resumable_shards.write(files[number], lines)
        resumable_shards.say(
          f'part {number + 1} of {len(files)}: {len(found)} rows'
        )
  begin()
  if jax.process_index() == 0:
    join(files, folder, how.least, count * how.samples)
    # A backbone that is here; the paper's is Qwen/Qwen3-Embedding-0.6B.
    backbone = f'--config.feedback.initial.backbone={config.model.source}'
    triples = f'--config.data.triples={folder}'
    if command_line := next_command(
      'generate', 'lrt', triples, backbone, stage='sft'
    ):
      resumable_shards.say(f'to learn from it:\n  {command_line}')
  return f'{workdir}/train.jsonl'


def check(
  config: Config, folder: epath.Path, source: Sequence[dict], prompts: int
) -> Callable[[], None]:
  """What writes down what the completions depend on. ValueError, at once, for
  settings that cannot be, and where the folder has completions of something
  else."""
  counts = 'generate.samples', 'generate.rows_per_part'
  job = sampling_fields(resumable_shards.settings(config, *counts), *counts)
  job['prompts of the data'] = prompts
  return resumable_shards.same_job(
    config, folder / 'generate.json', job, source, 'completions'
  )


def check_delimiter(delimiter: str, actor: Actor) -> None:
  """ValueError where no thinking would ever be seen to end."""
  table, state = np.asarray(actor.stop.delimiter), 0
  tokenizer: Any = actor.tokenizer
  for token in tokenizer(delimiter, add_special_tokens=False)['input_ids']:
    state = table[state, token]
  if not delimiter or state < len(table) - 1:
    raise ValueError(
      f'config.rollout.delimiter is {delimiter!r}: write the text that ends '
      'the thinking. A special token is in no text: where it is one, give it '
      '"special": false in the tokenizer.json of the model'
    )


def json_line(
  completion: Completion, row: dict, delimiter: str, decode: Callable
) -> str:
  """A row of a part."""
  ids, end = completion.tokens, completion.thinking
  reasoning, response, written = split(ids, end, delimiter, decode)
  spent, reward = min(end + 1, len(ids)), completion.reward
  fields = {
    'question': row['question'],
    'reasoning': reasoning,
    'response': response,
    'answer': row['answer'],
    'reward': None if np.isnan(reward) else round(reward, 6),
    'reasoning_tokens': spent,
    'response_tokens': len(ids) - spent,
    'complete': written and completion.finished_naturally,
  }
  return json.dumps(fields) + '\n'


def split(
  ids: Sequence[int], thinking: int, delimiter: str, decode: Callable
) -> tuple[str, str, bool]:
  """The text before the delimiter, the text after it, and whether it is there.
  Its last token, which may hold more, is the first that does not think. After a
  thinking that was cut, the second text begins with what was then written."""
  before, written, begun = decode(ids[: thinking + 1]).partition(delimiter)
  if written:
    return before, begun + decode(ids[thinking + 1 :]), True
  return decode(ids[:thinking]), decode(ids[thinking:]), False


def join(
  files: Sequence[epath.Path], folder: epath.Path, least: float, wanted: int
) -> None:
  """Makes one file of what the parts have worth keeping, and says how much."""
  figures = dict.fromkeys(
    ('sampled', 'complete', 'ungraded', 'with a reward above 0', 'kept'), 0
  )
  tokens: Any = np.zeros(2)

  def kept():
    for line in resumable_shards.lines(files):
      row = json.loads(line)
      reward = np.nan if row['reward'] is None else row['reward']
      # A sum of rewards may fall short by rounding.
      enough = reward >= least - 1e-6
      keep = (row['complete'] and enough) or least == -np.inf
      which = True, row['complete'], np.isnan(reward), reward > 0, keep
      for name, holds in zip(figures, which, strict=True):
        figures[name] += holds
      if keep:
        tokens[:] += row['reasoning_tokens'], row['response_tokens']
        yield line

  resumable_shards.write(folder / 'train.jsonl', kept())
  reasoning, response = tokens / max(figures['kept'], 1)
  counts = ', '.join(f'{count} {name}' for name, count in figures.items())
  resumable_shards.say(
    f'{counts} (generate.least={least}); {wanted - figures["sampled"]} not '
    f'sampled, as their prompts are too long\n{folder}/train.jsonl: '
    f'{reasoning:.1f} tokens of reasoning and {response:.1f} of response on '
    'average'
  )


if __name__ == '__main__':
  cli.run(generate, OPTIONS, resumes=False)
