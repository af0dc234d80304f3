r"""Samples chains of thought and answers: the data of LRT's first stage.

    python -m experiments.generate --workdir=runs/triples \
        --config=hyrea_rl_math:MODEL,words \
        --config.data.path=FOLDER --config.generate.num_generations=4

Samples config.generate.num_generations completions of each prompt of
config.data.train_split as a trainer would (config.rollout, .feedback) and
grades them (config.rewards). Any config for RL will do; its fields for training
are not read.

Writes WORKDIR/train.jsonl, a file of the task `generated`: one completion per
line, in the order of the data. `reasoning` is the text before the delimiter and
`response` the text after it, white space included; neither has the prefill of
the prompt (config.data.prefill), which the rewards see. `reasoning_tokens`
counts the delimiter too, `response_tokens` the token that ended the completion.
`complete` is true where the model itself wrote the delimiter and ended. A
completion is kept if it is complete and its reward is at least
config.generate.min_reward; with min_reward=-inf all are kept. Prompts of more
than config.rollout.max_prompt_length tokens are left out.

The same command resumes after a stop and samples no finished part again; once
all parts exist, another config.generate.min_reward writes another train.jsonl
at once. Samples depend on the seed and on the index of the prompt, not on the
parts or on the devices.
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

from .fields.named import problems_of
from .training.actor import rollout_mesh
from .training.cli import Config
from .training.dataset_sampling import (
  Completion,
  batch_generator,
  check_delimiter,
  decoding_actor,
  sampling_fields,
  split_thinking,
)
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


def generate(config: Config, workdir: str) -> str:
  """Runs `config` in `workdir`, from its first part that is missing. Returns
  the file of the completions that are kept."""
  # ---------------------------------------------- data, and what is there
  source = problems_of(config.data)(split=config.data.train_split)
  folder, samples = epath.Path(workdir), config.generate.num_generations
  count = min(config.generate.num_prompts or len(source), len(source))
  record = validate(config, folder, source, count)
  shards = shard_ranges(count, config.generate.rows_per_shard)
  files = shard_paths(folder, len(shards))
  exist = existing(files)
  missing = [i for i, exists in enumerate(exist) if not exists]

  # -------------------------------------------------------------------- loop
  if missing:
    mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
    actor = decoding_actor(config, mesh)
    tokenizer: Any = actor.tokenizer
    check_delimiter(config.rollout.end_of_thinking, actor.stop, tokenizer)
    encode = partial(prompt_ids, tokenizer, config.data)
    prompts = [source[i] for i in range(count)]
    check_lengths(prompts, encode, config.rollout.max_prompt_length)
    decode = partial(tokenizer.decode, skip_special_tokens=True)
    sampling_params = sampling(**config.rollout.sampling)
    with batch_generator(
      config, mesh, actor, sampling_params, samples, workdir
    ) as completions:
      for number in missing:
        rows = [source[i] for i in shards[number]]
        found = completions(rows, encode, number, shards[number].start)
        lines = [
          json_line(x, source[x.prompt], config.rollout.end_of_thinking, decode)
          for x in found
        ]
        record()
        write_lines(files[number], lines)
        print_once(f'part {number + 1} of {len(files)}: {len(found)} rows')
  record()
  if jax.process_index() == 0:
    merge_shards(files, folder, config.generate.min_reward, count * samples)
    # A backbone that is here; the paper's is Qwen/Qwen3-Embedding-0.6B.
    backbone = f'--config.feedback.init_kwargs.backbone={config.model.source}'
    triples = f'--config.data.sft_answers_dir={folder}'
    if command := next_command(
      'generate', 'lrt', triples, backbone, stage='sft'
    ):
      print_once(f'to train on it:\n  {command}')
  return f'{workdir}/train.jsonl'


def validate(
  config: Config, folder: epath.Path, source: Sequence[dict], prompts: int
) -> Callable[[], None]:
  """Returns what records the settings that the completions depend on
  (`resumable_shards.validate_job`). ValueError, at once, for settings that
  cannot be, and where the folder has completions of other settings."""
  counts = 'generate.num_generations', 'generate.rows_per_shard'
  fields = config_fields(config, *counts)
  job = sampling_fields(fields, *counts)
  job['prompts of the data'] = prompts
  return validate_job(
    config, folder / 'generate.json', job, source, 'completions'
  )


def json_line(
  completion: Completion, row: dict, delimiter: str, decode: Callable
) -> str:
  """A line of train.jsonl."""
  ids, end = completion.tokens, completion.thinking
  reasoning, response, found = split_thinking(ids, end, delimiter, decode)
  reasoning_tokens = min(end + 1, len(ids))
  reward = completion.reward
  fields = {
    'question': row['question'],
    'reasoning': reasoning,
    'response': response,
    'answer': row['answer'],
    'reward': None if np.isnan(reward) else round(reward, 6),
    'reasoning_tokens': reasoning_tokens,
    'response_tokens': len(ids) - reasoning_tokens,
    'complete': found and completion.finished_naturally,
  }
  return json.dumps(fields) + '\n'


def merge_shards(
  files: Sequence[epath.Path],
  folder: epath.Path,
  min_reward: float,
  requested: int,
) -> None:
  """Writes train.jsonl, the completions of all parts that are kept, and prints
  the counts; `requested` completions would have been sampled if no prompt were
  too long."""
  counts = dict.fromkeys(
    ('sampled', 'complete', 'ungraded', 'with a reward above 0', 'kept'), 0
  )
  tokens: Any = np.zeros(2)

  def kept_lines():
    for line in read_lines(files):
      row = json.loads(line)
      reward = np.nan if row['reward'] is None else row['reward']
      # A sum of rewards may fall short by rounding.
      enough = reward >= min_reward - 1e-6
      keep = (row['complete'] and enough) or min_reward == -np.inf
      which = True, row['complete'], np.isnan(reward), reward > 0, keep
      for name, holds in zip(counts, which, strict=True):
        counts[name] += holds
      if keep:
        tokens[:] += row['reasoning_tokens'], row['response_tokens']
        yield line

  write_lines(folder / 'train.jsonl', kept_lines())
  reasoning, response = tokens / max(counts['kept'], 1)
  shown = ', '.join(f'{count} {name}' for name, count in counts.items())
  print_once(
    f'{shown} (generate.min_reward={min_reward}); '
    f'{requested - counts["sampled"]} '
    f'not sampled, as their prompts are too long\n{folder}/train.jsonl: '
    f'{reasoning:.1f} tokens of reasoning and {response:.1f} of response on '
    'average'
  )


if __name__ == '__main__':
  cli.run(generate, OPTIONS, resumes=False)
