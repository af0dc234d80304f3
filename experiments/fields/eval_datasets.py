"""The data sets of the evaluations in training."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hybrid_latent.data.benchmark_rows import benchmark_rows
from hybrid_latent.data.benchmarks import BENCHMARKS

from .named import Config, named, problems_of
from .rule import eval_dataset_names


class EvalDataset(NamedTuple):
  """Problems, and the rewards of their answers, as in config.rewards."""

  rows: Sequence[dict]
  rewards: Mapping[str, Mapping]


def eval_datasets(config: Config) -> dict[str, EvalDataset]:
  """The first config.eval.num_prompts rows of config.data, under the name '',
  and of each benchmark of config.eval.datasets; none for 0 prompts. ValueError
  or FileNotFoundError for one that cannot be read."""
  if not config.eval.num_prompts:
    return {}
  found, data = {}, config.data
  if not trains_on_all(config):
    rows = problems_of(data)(split=data.test_split)
    found[''] = EvalDataset(_first(rows, config), config.rewards.to_dict())
  for text in config.eval.datasets:
    name, _, path = text.partition('=')
    try:
      rows = _first(benchmark_rows(name, path), config)
    except (ValueError, FileNotFoundError) as error:
      what = f'config.eval.datasets, {text!r}: {error}'
      raise type(error)(what) from error
    form = BENCHMARKS[name].format
    # A prompt with an instruction of its own has no other.
    if not (data.system_prompt or data.prompt_template):
      rows = [
        row | {'question': f'{row["question"]}\n{form.instruction}'}
        for row in rows
      ]
    found[name] = EvalDataset(rows, {'accuracy': dict(form.reward)})
  return found


def trains_on_all(config: Config) -> bool:
  """Whether `data.path` has training rows alone, so that nothing of config.data
  is evaluated. False for runs that need that."""
  data, best = config.data, config.checkpoint.best
  names = eval_dataset_names(config)
  if best and not best.startswith(tuple(f'eval/{name}/' for name in names)):
    return False
  if not (config.max_steps or names) or not data.get('path'):
    return False
  return not has_test_rows(data)


def has_test_rows(data: Config) -> bool:
  """Whether `data` has rows for evaluations, by its files and its task."""
  if data.function != 'jsonl:problems':
    return True
  has_test = named('jsonl:has_test', 'hybrid_latent.data')
  return has_test(data.kwargs.task, data.path, data.test_split)


def _first(rows: Any, config: Config) -> list[dict[str, Any]]:
  return [rows[i] for i in range(min(config.eval.num_prompts, len(rows)))]
