"""The data sets of an evaluation: rows, rewards and parser of each."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from hybrid_latent.data.digest import digest
from hybrid_latent.rewards import answers

from ..fields.named import problems_of
from ..training.cli import Config


class Dataset(NamedTuple):
  """Problems, and how their answers are graded and read."""

  name: str
  rows: Sequence[dict]
  rewards: Mapping[str, Mapping]  # as config.rewards
  parse: Callable[[str], str | None]
  instruction: str  # at the end of a question whose prompt has none

  @property
  def digest(self) -> str:
    """Of the rows."""
    return digest(self.rows)[:16]


def datasets_of(config: Config) -> list[Dataset]:
  """The data sets of `config.evaluate`, each with its first
  config.eval.num_prompts rows."""
  data, count = config.data, config.eval.num_prompts
  rows = problems_of(data)(split=data.test_split)
  name = data.kwargs.get('task') or data.function.partition(':')[0]
  rewards: Any = config.rewards.to_dict()
  first = [rows[i] for i in range(min(count, len(rows)))]
  return [Dataset(name, first, rewards, partial(answers.parse), '')]


def with_instruction(dataset: Dataset, data: Config) -> list[dict]:
  """The rows, with the instruction at the end of each question unless the
  prompt of the config has one of its own."""
  if data.system_prompt or data.prompt_template:
    return [*dataset.rows]
  end = f'\n{dataset.instruction}' if dataset.instruction else ''
  return [row | {'question': row['question'] + end} for row in dataset.rows]
