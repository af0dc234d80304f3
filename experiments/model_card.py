"""The README.md of an exported model: what it is, and how it is read."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict

from experiments.command import Config

PLAIN = 'discrete:discrete'  # the feedback that every library has
_TRANSFORMERS = """\
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    model = AutoModelForCausalLM.from_pretrained(FOLDER)
"""
_LATENTS = """\
**`generate` of transformers knows words alone.** This model was trained with
the feedback `{feedback}`: between tokens it reads more than the token that it
has drawn. No other library does that, nor reads `feedback.safetensors`, if that
is here, so what transformers, vLLM or llama.cpp serve is the model without its
latents, which may answer worse.
"""
_LIBRARY = """\
As it was trained, with hybrid_latent, evaluated on the test problems of its
config (`RUN` is the folder of the run):

    python -m experiments.{trainer} --workdir=evaluation --config.steps=0 \\
        --config=experiments/saved.py:RUN/config.json \\
        --config.model.source=FOLDER

or in Python, `owned` being the parameters of its feedback:

    from hybrid_latent.formats.pretrained import pretrained

    model, tokenizer, generation, owned = pretrained(FOLDER)
"""


def model_card(config: Config) -> str:
  """Markdown, with the metadata that the hub of Hugging Face reads."""
  fields: Any = flatten_dict(json.loads(config.to_json_best_effort()), sep='.')
  source, feedback = fields['model.source'], fields['feedback.function']
  meta = {
    'library_name': 'transformers',
    'pipeline_tag': 'text-generation',
    'tags': ['hybrid_latent', feedback.rpartition(':')[2]],
  }
  if re.fullmatch(r'[\w.-]+/[\w.-]+', source) and not Path(source).exists():
    meta['base_model'] = source  # on the hub
  told = [
    name
    for name in fields
    if name in ('model.source', 'data.path', 'data.template', 'seed', 'steps')
    or name.startswith('data.of.')
    or name.endswith('.function')
  ]
  lines = [
    '---',
    *(f'{name}: {json.dumps(value)}' for name, value in meta.items()),
    '---',
    '',
    f'# {source}, trained with hybrid_latent',
    '',
    '| setting | value |',
    '|---|---|',
    *(f'| {name} | {_cell(fields[name])} |' for name in told),
    '',
    '## How to read it',
    '',
    _TRANSFORMERS,
    *([_LATENTS.format(feedback=feedback)] if feedback != PLAIN else []),
    _LIBRARY.format(trainer=trainer_of(fields)),
    '## Config',
    '',
    *(f'    {name} = {value!r}' for name, value in fields.items()),
  ]
  return '\n'.join(lines) + '\n'


def trainer_of(fields: Mapping[str, Any]) -> str:
  """Which trainer a config is for."""
  if 'curriculum.function' in fields:
    return 'sft'
  return 'lrt' if fields['feedback.function'] == 'prefix:prefix' else 'grpo'


def _cell(value: object) -> str:
  """On one line of a table, whatever is in it."""
  text = repr(value).replace('|', r'\|').replace('`', "'")
  return f'`{text}`'
