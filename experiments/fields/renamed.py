"""Old names of fields, keywords, functions and values, and their new ones.

An override or a config file with an old name raises an error with the new one.
A config in config.json or in a checkpoint is loaded with the new names
(`renamed_config`), so that the run resumes. docs/migration.md is generated from
these tables.
"""

import re
from collections.abc import Mapping
from typing import Any

from .table import is_known

# The old name of a field or of a part -> the last word of its new name.
# `feedback.inner` has the names of `feedback`.
FIELDS: dict[str, str] = {
  'steps': 'max_steps',
  'epochs': 'num_iterations',
  'mini_batches': 'num_mini_batches',
  'micro_batches': 'gradient_accumulation_steps',
  'batch': 'batch_size',
  'length': 'max_length',
  'packed': 'packing',
  'chunk': 'logits_chunk',
  'truncate': 'bptt_steps',
  'completions': 'num_logged_completions',
  'data.source': 'function',
  'data.of': 'kwargs',
  'data.train': 'train_split',
  'data.test': 'test_split',
  'data.system': 'system_prompt',
  'data.template': 'prompt_template',
  'data.scored': 'step_entropy_dir',
  'data.triples': 'sft_answers_dir',
  'data.triples_task': 'sft_answers_task',
  'feedback.parameters': 'init',
  'feedback.initial': 'init_kwargs',
  'feedback.inside': 'inner',
  'rollout.prompts': 'prompts_per_step',
  'rollout.group': 'num_generations',
  'rollout.prompt_length': 'max_prompt_length',
  'rollout.max_tokens': 'max_completion_length',
  'rollout.thinking': 'max_thinking_tokens',
  'rollout.answer': 'max_answer_tokens',
  'rollout.reserved': 'answer_reserve',
  'rollout.delimiter': 'end_of_thinking',
  'rollout.closing': 'forced_text',
  'rollout.closing.ended': 'after_thinking',
  'rollout.closing.cut': 'on_truncation',
  'rollout.closing.late': 'on_budget',
  'rollout.closing.neither': 'no_thinking',
  'rollout.stages': 'cache_stages',
  'rollout.chunk': 'logits_chunk',
  'rollout.attempts': 'dynamic_sampling_max_batches',
  'rollout.source': 'rollout_dir',
  'reference.sync_every': 'sync_steps',
  'reference.mix': 'mixup_alpha',
  'optimizer.warmup': 'warmup_ratio',
  'optimizer.clip': 'max_grad_norm',
  'stages.begin': 'starts',
  'stages.share': 'data_fraction',
  'distillation': 'objective.kwargs',  # of codi:self_distillation
  'distillation.kind': 'loss_type',
  'distillation.scaled': 'div_std',
  'eval.prompts': 'num_prompts',
  'eval.samples': 'num_generations',
  'eval.thinking': 'max_thinking_tokens',
  'generate.prompts': 'num_prompts',
  'generate.samples': 'num_generations',
  'generate.rows_per_part': 'rows_per_shard',
  'generate.least': 'min_reward',
  'evaluate.ways': 'modes',
  'evaluate.reserved': 'answer_reserve',
  'entropy.measure': 'aggregation',
  'entropy.rows_per_part': 'rows_per_shard',
  'entropy.shown': 'example_steps',
}
# Of functions, as module:function: the old name of a keyword -> the new one.
KEYWORDS: dict[str, dict[str, str]] = {
  'policy_gradient:policy_gradient': {
    'clip': 'clip_range',
    'correction': 'importance_sampling_mode',
    'cap': 'importance_sampling_cap',
    'proposal': 'importance_sampling_target',
  },
  'coconut:coconut': {
    'per_step': 'c_thought',
    'most': 'max_latent_stage',
    'uniform': 'uniform_prob',
    'pad': 'pad_latent_to_max',
    'marks': 'delimiters',
  },
  'codi:codi': {'latents': 'num_latents'},
  'hyrea:hyrea': {'slots': 'num_latents', 'shortest': 'min_step_tokens'},
  'switching:spans': {'slots': 'num_latents'},
  'hyrea:latent': {'most': 'max_spans'},
}
# The old name of a function -> the new one.
FUNCTIONS: dict[str, str] = {
  'worked:worked_solutions': 'cot:worked_solutions',
  'hybrid_latent.formats.reasoner:parameters': 'prefix:reasoner',
}
# The old name of a field -> its old values -> the new ones.
VALUES: dict[str, dict[str, str]] = {
  'rollout.mode': {'explicit': 'chain_of_thought', 'neither': 'no_thinking'},
  'evaluate.ways': {'explicit': 'chain_of_thought', 'neither': 'no_thinking'},
  'objective.kwargs.proposal': {'sampler': 'rollout', 'behaviour': 'behavior'},
}
# A part that names a function -> the part of its keywords.
_KEYWORDS_OF = {'function': 'kwargs', 'init': 'init_kwargs'}


def new_name(name: str) -> str:
  """The new name of a field; unchanged where it is not an old one. For keywords
  of functions see `new_keyword`."""
  return name if is_known(name) else _translated(name)


def new_keyword(function: str, keyword: str) -> str:
  """The new name of a keyword of a function."""
  module, _, name = function.partition(':')
  words = KEYWORDS.get(f'{module.rpartition(".")[2]}:{name}', {})
  return words.get(keyword, keyword)


def new_text(name: str, text: str) -> str:
  """The text of a value with its new names. `name` is an old or the new one of
  the field."""
  words: dict[str, str] = {}
  for field, values in VALUES.items():
    part, _, last = field.rpartition('.')
    new = {f'{part}.{x[last]}' for x in KEYWORDS.values() if last in x}
    if name in {field, new_name(field), *new}:
      words = values
  return re.sub(r'\w+', lambda word: words.get(word[0], word[0]), text)


class Renamed(ValueError):
  """An override with an old name. `written` is the new field, or FIELD=VALUE
  where the value is renamed."""

  def __init__(self, text: str, written: str):
    super().__init__(text)
    self.written = written


def value_refusal(field: str, old: str, new: str, option: str = '') -> str:
  """The error text for an old name of a function or of a value."""
  return (
    f'config.{field} is {old}, which is called {new} now: write '
    f'{option}config.{field}={new}'
  )


def refusal(old: str, new: str, written: str) -> str:
  """The error text for an old name."""
  return f'config.{old} is called config.{new} now: write {written}'


def renamed_config(fields: Mapping[str, Any], part: str = '') -> dict[str, Any]:
  """A config from JSON, or a `part` of one, with the new names."""
  renamed: dict[str, Any] = {}
  if not part and 'distillation' in fields:
    fields = _with_objective(fields)
  for word, value in fields.items():
    name = f'{part}.{word}' if part else word
    if isinstance(value, Mapping):
      value = renamed_config(value, name)
    elif values := VALUES.get(name):
      one = isinstance(value, str)
      new = [values.get(x, x) for x in ([value] if one else value)]
      value = new[0] if one else new
    renamed[new_name(name).rpartition('.')[2]] = value
  for role, kwargs in _KEYWORDS_OF.items():
    if isinstance(spec := renamed.get(role), str):
      renamed[role] = spec = FUNCTIONS.get(spec, spec)
      if kwargs in renamed:
        old = renamed[kwargs]
        renamed[kwargs] = {new_keyword(spec, x): old[x] for x in old}
  return renamed


def _with_objective(fields: Mapping[str, Any]) -> dict[str, Any]:
  """A config of sft with its loss, which had no name when `distillation` was a
  part of its own."""
  kwargs = renamed_config(fields['distillation'], 'distillation')
  function = 'codi:self_distillation'
  if not kwargs['weight']:
    function, kwargs = 'supervised:weighted_cross_entropy', {}
  loss = {'function': function, 'kwargs': kwargs, 'init': '', 'init_kwargs': {}}
  others = {name: x for name, x in fields.items() if name != 'distillation'}
  return others | {'objective': loss}


def markdown() -> str:
  """The table of old and new names, docs/migration.md."""
  fields = [(name, _translated(name)) for name in FIELDS]
  keywords = [
    (f'{old}` of `{function}', new)
    for function, words in KEYWORDS.items()
    for old, new in words.items()
  ]
  values = [
    (f'{old}` of `{name}', new)
    for name, words in VALUES.items()
    for old, new in words.items()
  ]
  rows = [*fields, *keywords, *values, *FUNCTIONS.items()]
  return '\n'.join(
    [_INTRODUCTION, *(f'| `{a}` | `{b}` |' for a, b in rows), '']
  )


def _translated(name: str) -> str:
  new: list[str] = []
  old: list[str] = []
  for word in name.split('.'):
    new.append(FIELDS.get('.'.join([*old, word]), word))
    if new != ['feedback', 'inner']:  # it has the fields of feedback
      old.append(word)
  return '.'.join(new)


_INTRODUCTION = """# Renamed fields

Generated by `python -m experiments.fields --renamed`. An override or a config
file with an old name raises an error with the new one. A run that was started
with old names resumes: its config.json and its checkpoints are loaded with the
new ones.

| old name | new name |
| --- | --- |"""
