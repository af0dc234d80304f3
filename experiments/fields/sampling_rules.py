"""Rules of sampling, and of the commands that only sample."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from .. import PACKAGE
from .named import Config
from .overrides import at, kind_of
from .rule import (
  EVAL_METRICS,
  Rule,
  has_prefix,
  is_ours,
  lacks,
  repeats,
  too_long,
)

# Names in evaluations that no reward may have.
RESERVED = (*EVAL_METRICS, 'prompts', 'too_long', 'ungraded', 'judged')
# Feedbacks with parameters, and the function of their module that initializes
# them.
WITH_PARAMS = {
  'colar:colar': 'colar:latent_head',
  'gated:gated': 'gated:gate',
  'gumbel_soft:gumbel_soft': 'gumbel_soft:gumbel_noise',
  'jacobi:jacobi': 'jacobi:parallel_latents',
  'projected:projected': 'projected:projector',
  'soft:soft': 'soft:soft_tokens',
  'soft_thinking:soft_thinking': 'soft_thinking:cold_stop',
  'swireasoning:swireasoning': 'swireasoning:switches',
  'switching:switching': 'switching:spans',
}
_SAMPLED = (
  Rule(
    ('model.attention', 'model.dtype'),
    lambda c, _: c.model.attention == 'cudnn' and c.model.dtype == 'float32',
    "model.dtype=bfloat16, as cuDNN's kernel has 16 bits, or "
    'model.attention=None',
  ),
  Rule(
    ('rewards',),
    lambda c, _: (
      not all(name.strip() and name not in RESERVED for name in c.rewards)
    ),
    f'a name for each reward that is none of {[*RESERVED]}',
  ),
  Rule(
    ('feedback.function', 'feedback.init'),
    lambda c, _: (
      is_ours(c, 'feedback.function', *WITH_PARAMS)
      and _module(c.feedback.init) in {'', *map(_module, WITH_PARAMS)}
      and _module(c.feedback.init) != _module(c.feedback.function)
    ),
    f'the initializer of its module, as for one of {[*WITH_PARAMS]}',
  ),
  Rule(
    ('rollout.max_num_seqs', 'rollout.cache_stages'),
    lambda c, _: c.rollout.max_num_seqs and c.rollout.cache_stages > 1,
    'cache_stages=1, as rows that are refilled end at different times, or '
    'max_num_seqs=0',
  ),
  Rule(
    ('model.new_tokens',),
    lambda c, _: not _are_tokens(c.model.new_tokens),
    'each token once, as TOKEN or TOKEN=OTHER',
  ),
  Rule(
    (
      'rollout.end_of_thinking',
      'rollout.max_thinking_tokens',
      'rollout.max_answer_tokens',
    ),
    lambda c, _: (
      not c.rollout.end_of_thinking
      and (c.rollout.max_thinking_tokens or c.rollout.max_answer_tokens)
    ),
    'the text that ends the thinking, or max_thinking_tokens=0 and '
    'max_answer_tokens=0',
  ),
  Rule(
    (
      'rollout.max_completion_length',
      'rollout.max_thinking_tokens',
      'rollout.max_answer_tokens',
      'rollout.answer_reserve',
      'eval.max_thinking_tokens',
    ),
    lambda c, _: too_long(c),
    'a max_completion_length that is at least each limit and above '
    'answer_reserve',
  ),
  Rule(
    ('data.prompt_template',),
    lambda c, _: (
      c.data.prompt_template and '{question}' not in c.data.prompt_template
    ),
    "a text with {question}, or '' for the model's chat template",
  ),
  Rule(
    ('rollout.mode', 'feedback.function'),
    lambda c, _: c.rollout.mode == 'latent' and not has_prefix(c),
    "rollout.mode='', or a feedback with a prefix such as prefix:prefix",
  ),
)

SAMPLED = (
  *_SAMPLED,
  Rule(
    ('eval.num_generations', 'eval.sampling', 'rollout.sampling'),
    lambda c, _: (
      c.eval.num_prompts
      and c.eval.num_generations > 1
      and repeats(c, eval_sampling(c))
    ),
    'eval.num_generations=1, or eval.sampling.greedy=False, as the greedy '
    'samples of a prompt are equal',
  ),
)
GENERATED = (
  Rule(
    ('rollout.end_of_thinking',),
    lambda c, _: not c.rollout.end_of_thinking,
    'the text that ends the thinking',
  ),
  *SAMPLED,
)
EVALUATED = (
  *_SAMPLED,  # one greedy sample per prompt, whatever eval.num_generations is
  Rule(
    ('eval.num_prompts',),
    lambda c, _: not c.eval.num_prompts,
    'the number of test prompts, at least 1',
  ),
  Rule(
    ('evaluate.modes', 'rollout.forced_text.no_thinking'),
    lambda c, _: (
      'no_thinking' in c.evaluate.modes
      and not c.rollout.forced_text.no_thinking
    ),
    'the text that closes the thinking at the end of a prompt, or modes '
    'without no_thinking',
  ),
  Rule(
    ('evaluate.budgets', 'evaluate.answer_reserve'),
    lambda c, _: (
      c.evaluate.budgets
      and c.evaluate.answer_reserve >= min(c.evaluate.budgets)
    ),
    'budgets above answer_reserve',
  ),
  Rule(
    ('evaluate.reasoners', 'feedback.function'),
    lambda c, _: c.evaluate.reasoners and not has_prefix(c),
    'a feedback with a prefix, such as prefix:prefix of the config lrt',
  ),
)


def _module(spec: str) -> str:
  return spec.partition(':')[0].rpartition('.')[2]


def _are_tokens(written: Sequence[str]) -> bool:
  """Whether each is TOKEN or TOKEN=OTHER, and no TOKEN is repeated."""
  parts = [text.partition('=') for text in written]
  names = [name for name, _, _ in parts]
  complete = all(name and bool(equals) == bool(x) for name, equals, x in parts)
  return complete and len(set(names)) == len(names)


def eval_sampling(c: Config) -> Config:
  """The sampling parameters of evaluations."""
  both: Any = c.rollout.sampling.to_dict() | c.eval.sampling.to_dict()
  return ConfigDict(both)


class MadeFor(NamedTuple):
  """The fields that mark a config as one of a command."""

  command: str
  fields: tuple[str, ...]

  def check(self, config: Config, hosts: int = 1) -> None:
    """ValueError, with the trainer of the config, where it lacks a field."""
    del hosts
    if lacks(*self.fields)(config, 1):
      kind = kind_of(config)
      own = {'rl': 'grpo'}.get(kind, kind)
      remedy = (
        'this one has'
        if own == self.command
        else (f'this is a config of python -m {PACKAGE}.{own} and has')
      )
      names = [f'config.{x}' for x in self.fields if at(config, x) is None]
      raise ValueError(
        f'--config: write a config of {PACKAGE}.{self.command}: {remedy} no '
        f'{" and no ".join(names)}'
      )
