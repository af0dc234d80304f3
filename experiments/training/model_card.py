"""The README.md of an exported model: its method, and how to load it."""

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict

from .. import PACKAGE
from ..fields.eval_datasets import has_test_rows
from .cli import Config

_CARD = """\
---
library_name: transformers{base}
tags: [hybrid_latent]
---

# {source}, trained with hybrid_latent

    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER)
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
{latent}
To evaluate it with hybrid_latent as it was trained, RUN being its --workdir:

    python -m {package}.{trainer} --workdir=evaluation --config.max_steps=0 \\
        --config=saved:RUN/config.json \\
        --config.model.source=FOLDER{options}

## How it was trained

{fields}

config.json of the run has all fields.
"""
# The fields of a card; the run's config.json has all.
_FIELDS = (
  'model.source',
  'lora.rank',
  'data.function',
  'data.kwargs.task',
  'data.path',
  'feedback.function',
  'objective.function',
  'advantage.function',
  'curriculum.function',
  'rewards.*.function',
  'rewards.*.weight',
  'seed',
  'batch_size',
  'max_length',
  'rollout.prompts_per_step',
  'rollout.num_generations',
  'rollout.max_completion_length',
  'rollout.sampling.temperature',
  'optimizer.groups.*.lr',
  'optimizer.schedule',
)
_METRICS = 'loss', 'reward', 'kl', 'entropy', 'completions/mean_length'
_LATENT = """
**`generate` of transformers feeds back tokens alone.** With its feedback
`{feedback}` the input of this model is more than the sampled token. Other
libraries serve it without that, which may lower the accuracy.
"""


def model_card(
  config: Config, step: int | None = None, metrics: Mapping = {}
) -> str:
  """Markdown with the metadata of Hugging Face's hub; `metrics` are the last
  ones up to `step`."""
  fields: Any = flatten_dict(json.loads(config.to_json_best_effort()), sep='.')
  source, feedback = fields['model.source'], fields['feedback.function']
  return _CARD.format(
    source=source,
    base='' if Path(source).exists() else f'\nbase_model: {source}',
    package=PACKAGE,
    trainer='sft' if 'curriculum.function' in fields else 'grpo',
    options=''.join(f' \\\n        {x}' for x in evaluation_options(config)),
    latent=_LATENT.format(feedback=feedback) * ('discrete' not in feedback),
    fields='\n'.join([*_outcome(fields, step, metrics), *_method(fields)]),
  )


def evaluation_options(config: Config) -> list[str]:
  """The options with which a config that evaluates nothing does."""
  options = []
  if not config.eval.num_prompts:
    options.append('--config.eval.num_prompts=64')
  if not has_test_rows(config.data):
    options.append('--config.data.path=FILE_OF_TEST_ROWS')
  return options


def _method(fields: Mapping[str, Any]) -> list[str]:
  return [
    f'    {name} = {fields[name]!r}'
    for pattern in _FIELDS
    for name in fields
    if fnmatchcase(name, pattern) and fields[name] not in ('', 0, None)
  ]


def _outcome(
  fields: Mapping[str, Any], step: int | None, metrics: Mapping
) -> list[str]:
  """The step and the last metrics up to it."""
  if step is None:
    return []
  rewards = {n.split('.')[1]: None for n in fields if n.startswith('rewards.')}
  names = [*(f'eval/{reward}' for reward in rewards), *_METRICS]
  logged = [n for n in names if metrics.get(n) is not None]
  return [
    f'    step {step} of {fields["max_steps"]}',
    *(f'    {name}: {metrics[name]:.4g}' for name in logged),
  ]
