"""The data sets of the evaluations in training."""

from collections.abc import Mapping, Sequence

from ..evaluation.datasets import benchmarks_of, first_rows, with_instruction
from .named import Config, named, problems_of
from .rule import eval_dataset_names


def eval_datasets(
  config: Config,
) -> dict[str, tuple[Mapping[str, Mapping], Sequence[dict]]]:
  """Rewards and first config.eval.num_prompts rows of config.data, under the
  name '', and of each benchmark of config.eval.datasets; none for 0 prompts.
  ValueError or FileNotFoundError for one that cannot be read."""
  if not config.eval.num_prompts:
    return {}
  found, data = {}, config.data
  if not trains_on_all(config):
    rows = problems_of(data)(split=data.test_split)
    found[''] = config.rewards.to_dict(), first_rows(rows, config)
  for one in benchmarks_of(config, 'datasets', 'eval'):
    found[one.name] = one.rewards, with_instruction(one, data)
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
