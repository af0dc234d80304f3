"""Rules that relate fields of a config, and predicates of rules."""

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from .functions import FEEDBACK, OBJECTIVES
from .named import Config, configured, named
from .overrides import at

# The metrics of an evaluation beside its rewards.
EVAL_METRICS = ('completions/mean_length', 'completions/clipped_ratio',
             'hidden_ratio', 'switches', 'latent_tokens')  # fmt: skip


class Rule(NamedTuple):
  """A condition on several fields of a config."""

  fields: tuple[str, ...]
  broken: Callable[[Config, int], Any]  # (config, hosts)
  remedy: str  # what to write, and why

  def check(self, config: Config, hosts: int = 1) -> None:
    """ValueError with the fields and their values where the rule is broken."""
    if self.broken(config, hosts):
      values = (f'config.{f}={_shown(at(config, f))}' for f in self.fields)
      raise ValueError(f'{", ".join(values)}: write {self.remedy}')


def _shown(value: Any) -> str:
  return repr(value.to_dict() if isinstance(value, ConfigDict) else value)


def lacks(*fields: str) -> Callable:
  """Whether a config lacks one of these fields."""
  return lambda c, _: any(at(c, field) is None for field in fields)


def one_fill_axis(mesh: str) -> Rule:
  """At most one axis of a mesh takes the remaining devices."""
  return Rule(
    (mesh,),
    lambda c, _: [*at(c, mesh).values()].count(-1) > 1,
    '-1 for one axis at most: it takes the remaining devices',
  )


def has_prefix(c: Config) -> bool:
  """Whether the feedback puts latents in place of a thinking."""
  return made_feedback(c).prefix is not None


def made_feedback(c: Config) -> Any:
  """The result of the functions of config.feedback, which may be anything."""
  make = configured(c.feedback, FEEDBACK)
  if 'inner' in c.feedback:
    make = partial(make, configured(c.feedback.inner, FEEDBACK)())
  return make()


def objective_inputs(c: Config) -> str:
  """The type of what the loss is called with; '' where it has no annotation."""
  loss = named(c.objective.function, OBJECTIVES)
  first = next(iter(inspect.signature(loss).parameters.values()), None)
  return getattr(getattr(first, 'annotation', None), '__name__', '')


def repeats(c: Config, sampling: Config) -> bool:
  """Whether all completions of a prompt are equal: greedy tokens, and tokens as
  inputs."""
  greedy = sampling.greedy or sampling.top_k == 1
  return greedy and is_ours(c, 'feedback.function', 'discrete:discrete')


def updates_divide(c: Config, rows: int) -> bool:
  """Whether updates and their slices divide the rows of a step."""
  return rows % (c.num_mini_batches * c.gradient_accumulation_steps) == 0


def is_ours(c: Config, field: str, *names: str) -> bool:
  """Whether a field names one of these functions of ours."""
  module, _, function = at(c, field).partition(':')
  return f'{module.rpartition(".")[2]}:{function}' in names


def trains(c: Config, name: str) -> bool:
  """Whether an optimizer group trains a parameter of this name."""
  groups = c.optimizer.groups.values()
  return any(re.search(group.pattern, name) for group in groups)


def eval_metrics(c: Config) -> set[str]:
  """The evaluation metrics that can select the best checkpoint."""
  sets = [f'{name}/' for name in eval_dataset_names(c)]
  rewards = [*c.rewards, *(f'{name}accuracy' for name in sets)]
  lengths = [f'{name}{x}' for name in ('', *sets) for x in EVAL_METRICS]
  powers = [2**i for i in range(c.eval.num_generations.bit_length())]
  pass_at = [f'{name}/pass@{k}' for name in rewards for k in powers]
  return {f'eval/{x}' for x in (*rewards, *lengths, *pass_at)}


def eval_dataset_names(c: Config) -> list[str]:
  """The names in `eval.datasets`."""
  return [text.partition('=')[0] for text in c.eval.datasets]


def weightless(c: Config) -> bool:
  """Whether all rewards have weight 0."""
  return not any(reward.weight for reward in c.rewards.values())


def too_long(c: Config) -> bool:
  """Whether a limit of a part exceeds max_completion_length."""
  r = c.rollout
  longest = max(
    r.max_thinking_tokens,
    r.max_answer_tokens,
    c.eval.max_thinking_tokens,
    r.answer_reserve + 1,
  )
  return longest > r.max_completion_length
