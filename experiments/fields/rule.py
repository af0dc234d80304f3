"""A rule that fields of a config keep together, and what rules ask."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ..training.functions import Config, configured
from .functions import FEEDBACK
from .overrides import at

# What an evaluation logs beside its rewards.
EVALUATED = ('completions/mean_length', 'completions/clipped_ratio',
             'hidden_ratio', 'switches', 'latent_tokens')  # fmt: skip


class Rule(NamedTuple):
  """Fields that a command reads together."""

  fields: tuple[str, ...]
  broken: Callable[[Config, int], Any]  # (config, hosts)
  remedy: str  # what to write, and why

  def check(self, config: Config, hosts: int = 1) -> None:
    """ValueError with the fields and their values where they cannot be."""
    if self.broken(config, hosts):
      values = (f'config.{f}={_shown(at(config, f))}' for f in self.fields)
      raise ValueError(f'{", ".join(values)}: write {self.remedy}')


def _shown(value: Any) -> str:
  return repr(value.to_dict() if isinstance(value, ConfigDict) else value)


def lacks(*fields: str) -> Callable:
  """Whether a config has not all of these fields."""
  return lambda c, _: any(at(c, field) is None for field in fields)


def one_rest(mesh: str) -> Rule:
  """One axis of a mesh at most takes what the others leave."""
  return Rule(
    (mesh,),
    lambda c, _: [*at(c, mesh).values()].count(-1) > 1,
    '-1 for one axis at most: it takes the devices that the others leave',
  )


def has_prefix(c: Config) -> bool:
  """Whether the feedback reads latents in place of a thinking."""
  return made_feedback(c).prefix is not None


def made_feedback(c: Config) -> Any:
  """What the functions of config.feedback make, which may be anything."""
  make = configured(c.feedback, FEEDBACK)
  if 'inner' in c.feedback:
    make = partial(make, configured(c.feedback.inner, FEEDBACK)())
  return make()


def repeats(c: Config, sampling: Config) -> bool:
  """Whether all completions of a prompt are one, as no token is drawn and the
  inputs are tokens."""
  greedy = sampling.greedy or sampling.top_k == 1
  return greedy and is_ours(c, 'feedback.function', 'discrete:discrete')


def updates_divide(c: Config, rows: int) -> bool:
  """Whether the rows of a step can be cut into its updates and their slices."""
  return rows % (c.num_mini_batches * c.gradient_accumulation_steps) == 0


def is_ours(c: Config, field: str, *names: str) -> bool:
  """Whether a field names one of these functions of this project."""
  module, _, function = at(c, field).partition(':')
  return f'{module.rpartition(".")[2]}:{function}' in names


def trains(c: Config, name: str) -> bool:
  """Whether an optimizer group trains a parameter of this name."""
  groups = c.optimizer.groups.values()
  return any(re.search(group.pattern, name) for group in groups)


def eval_metrics(c: Config) -> set[str]:
  """The metrics of an evaluation that a checkpoint can be the best by."""
  powers = [2**i for i in range(c.eval.num_generations.bit_length())]
  some = {f'{name}/pass@{k}' for name in c.rewards for k in powers}
  return {f'eval/{x}' for x in {*c.rewards, *EVALUATED, *some}}


def weightless(c: Config) -> bool:
  """Whether no reward counts."""
  return not any(reward.weight for reward in c.rewards.values())


def too_long(c: Config) -> bool:
  """Whether a part of a completion may be longer than all of it."""
  r = c.rollout
  longest = max(
    r.max_thinking_tokens,
    r.max_answer_tokens,
    c.eval.max_thinking_tokens,
    r.answer_reserve + 1,
  )
  return longest > r.max_completion_length
