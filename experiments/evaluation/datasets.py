"""The data sets of an evaluation: rows, rewards and parser of each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hybrid_latent.data.answer_formats import parser
from hybrid_latent.data.benchmark_rows import benchmark_rows
from hybrid_latent.data.benchmarks import BENCHMARKS
from hybrid_latent.data.digest import digest

from ..fields.named import problems_of
from ..training.cli import Config


class Dataset(NamedTuple):
  """Problems, and how their answers are graded and read."""

  name: str
  rows: Sequence[dict]
  rewards: Mapping[str, Mapping]  # as config.rewards
  parse: Callable[[str], str | None]
  instruction: str = ''  # at the end of a question whose prompt has none

  @property
  def digest(self) -> str:
    """Of the rows."""
    return digest(self.rows)[:16]


def datasets_of(config: Config) -> list[Dataset]:
  """The data sets of config.evaluate.datasets, or that of config.data, each
  with its first config.eval.num_prompts rows. ValueError or FileNotFoundError
  for one that cannot be read."""
  if config.evaluate.datasets:
    return benchmarks_of(config, 'datasets')
  data = config.data
  task = data.kwargs.get('task')
  rows = problems_of(data)(split=data.test_split)
  rewards: Any = config.rewards.to_dict()
  graded = rewards.get('accuracy') or next(iter(rewards.values()))
  return [
    Dataset(
      task or data.function.partition(':')[0],
      first_rows(rows, config),
      rewards,
      parser(graded),
    )
  ]


def benchmarks_of(
  config: Config, field: str, part: str = 'evaluate'
) -> list[Dataset]:
  """The benchmarks of a field of a part of the config, each NAME or
  NAME=PATH."""
  found: dict[str, Dataset] = {}
  for text in config[part][field]:
    name, _, path = text.partition('=')
    try:
      if name in found:
        raise ValueError('write each benchmark once')
      rows = benchmark_rows(name, path or config[part].get('data_dir', ''))
    except (ValueError, FileNotFoundError) as error:
      what = f'config.{part}.{field}, {text!r}: {error}'
      raise type(error)(what) from error
    try:
      first = first_rows(rows, config)
    except ValueError as error:
      # Without its advice, which is on config.data.
      problem = f'{error}'.partition(': write ')[0]
      fields = BENCHMARKS[name].task.fields
      raise ValueError(
        f'config.{part}.{field}, {text!r}: {problem}: write a file with the '
        f'fields {sorted(fields.values())}'
      ) from error
    form = BENCHMARKS[name].format
    rewards = {'accuracy': dict(form.reward)}
    found[name] = Dataset(name, first, rewards, form.parse, form.instruction)
  return [*found.values()]


def with_instruction(dataset: Dataset, data: Config) -> list[dict]:
  """The rows, with the instruction at the end of each question unless the
  prompt of the config has one of its own."""
  if data.system_prompt or data.prompt_template or not dataset.instruction:
    return [*dataset.rows]
  return [
    row | {'question': f'{row["question"]}\n{dataset.instruction}'}
    for row in dataset.rows
  ]


def first_rows(rows: Any, config: Config) -> list[dict[str, Any]]:
  """The first config.eval.num_prompts rows."""
  return [rows[i] for i in range(min(config.eval.num_prompts, len(rows)))]
