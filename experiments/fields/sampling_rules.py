"""Rules of whatever samples, and of the commands that only sample."""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from .. import PACKAGE
from ..training.functions import Config
from .rule import EVALUATED as EVALUATED_FIGURES
from .rule import (
  Rule,
  has_prefix,
  is_ours,
  lacks,
  repeats,
  too_long,
)

# Of an evaluation, beside its rewards.
FIGURES = (*EVALUATED_FIGURES, 'prompts', 'too_long', 'ungraded', 'judged')
# Feedbacks that read parameters, which a function beside each of them makes.
OWNING = ('gated:gated', 'projected:projected', 'soft:soft',
          'soft_thinking:soft_thinking', 'switching:switching')  # fmt: skip
SAMPLED = (
  Rule(
    ('rewards',),
    lambda c, _: (
      not all(name.strip() and name not in FIGURES for name in c.rewards)
    ),
    f'a name for each reward that is none of {[*FIGURES]}',
  ),
  Rule(
    ('feedback.function', 'feedback.parameters'),
    lambda c, _: (
      is_ours(c, 'feedback.function', *OWNING)
      and _module(c.feedback.parameters) in {'', *map(_module, OWNING)}
      and _module(c.feedback.parameters) != _module(c.feedback.function)
    ),
    f'the parameters that its module makes, as for one of {[*OWNING]}',
  ),
  Rule(
    ('model.new_tokens',),
    lambda c, _: not _are_tokens(c.model.new_tokens),
    'each token once, as TOKEN or TOKEN=OTHER',
  ),
  Rule(
    ('eval.samples', 'eval.sampling', 'rollout.sampling'),
    lambda c, _: (
      c.eval.prompts and c.eval.samples > 1 and repeats(c, eval_sampling(c))
    ),
    'eval.samples=1, or eval.sampling.greedy=False: the samples of a prompt '
    'would be one and the same',
  ),
  Rule(
    ('rollout.delimiter', 'rollout.thinking', 'rollout.answer'),
    lambda c, _: (
      not c.rollout.delimiter and (c.rollout.thinking or c.rollout.answer)
    ),
    'the text that ends the thinking, or thinking=0 and answer=0',
  ),
  Rule(
    (
      'rollout.max_tokens',
      'rollout.thinking',
      'rollout.answer',
      'rollout.reserved',
      'eval.thinking',
    ),
    lambda c, _: too_long(c),
    'a max_tokens that the thinking and the answer fit into, and of which not '
    'all is reserved',
  ),
  Rule(
    ('data.template',),
    lambda c, _: c.data.template and '{question}' not in c.data.template,
    "a prompt with {question} in it, or '' for the model's chat template",
  ),
  Rule(
    ('rollout.mode', 'feedback.function'),
    lambda c, _: c.rollout.mode == 'latent' and not has_prefix(c),
    "rollout.mode='', or a feedback that has a prefix such as prefix:prefix",
  ),
)


GENERATED = (
  Rule(
    ('rollout.delimiter',),
    lambda c, _: not c.rollout.delimiter,
    'the text that ends the thinking',
  ),
  *SAMPLED,
)
EVALUATED = (
  *SAMPLED,
  Rule(
    ('evaluate.ways', 'evaluate.budgets'),
    lambda c, _: not (c.evaluate.ways and c.evaluate.budgets),
    'at least one way and one budget',
  ),
  Rule(
    ('eval.prompts',),
    lambda c, _: not c.eval.prompts,
    'how many test prompts are asked',
  ),
  Rule(
    ('evaluate.ways', 'rollout.closing.neither'),
    lambda c, _: (
      'no_thinking' in c.evaluate.ways and not c.rollout.closing.neither
    ),
    'the text that closes the thinking at the end of a prompt, or ways without '
    'no_thinking',
  ),
  Rule(
    ('evaluate.budgets', 'evaluate.reserved'),
    lambda c, _: c.evaluate.reserved >= min(c.evaluate.budgets, default=1),
    'budgets of more tokens than are reserved',
  ),
  Rule(
    ('evaluate.reasoners', 'feedback.function'),
    lambda c, _: c.evaluate.reasoners and not has_prefix(c),
    'a feedback that has a prefix, such as prefix:prefix of the config lrt',
  ),
)


def _module(spec: str) -> str:
  return spec.partition(':')[0].rpartition('.')[2]


def _are_tokens(written: Sequence[str]) -> bool:
  """Whether each names a token, and the one that it begins as if any."""
  parts = [text.partition('=') for text in written]
  names = [name for name, _, _ in parts]
  complete = all(name and bool(equals) == bool(x) for name, equals, x in parts)
  return complete and len(set(names)) == len(names)


def eval_sampling(c: Config) -> Config:
  """How evaluations sample."""
  both: Any = c.rollout.sampling.to_dict() | c.eval.sampling.to_dict()
  return ConfigDict(both)


def made_for(command: str, *fields: str) -> Rule:
  """The command reads fields that only some configs have."""
  return Rule(
    fields,
    lacks(*fields),
    f'a config of {PACKAGE}.{command}: this config is of another command',
  )
