"""The README.md of an exported model: what it is, and how it is read."""

import json
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict

from experiments.command import Config

_CARD = """\
---
library_name: transformers{base}
tags: [hybrid_latent]
---

# {source}, trained with hybrid_latent

    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER)
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
{latent}
As it was trained, evaluated with hybrid_latent; RUN is the folder of the run:

    python -m experiments.{trainer} --workdir=evaluation --config.steps=0 \\
        --config=saved:RUN/config.json \\
        --config.model.source=FOLDER

## Config: base model, data, method

{fields}
"""
_LATENT = """
**`generate` of transformers knows words alone.** By its feedback `{feedback}`
this model reads more than the token that it has drawn. Other libraries serve it
without that, which may answer worse.
"""


def model_card(config: Config) -> str:
  """Markdown, with the metadata that the hub of Hugging Face reads."""
  fields: Any = flatten_dict(json.loads(config.to_json_best_effort()), sep='.')
  source, feedback = fields['model.source'], fields['feedback.function']
  return _CARD.format(
    source=source,
    base='' if Path(source).exists() else f'\nbase_model: {source}',
    trainer='sft' if 'curriculum.function' in fields else 'grpo',
    latent=_LATENT.format(feedback=feedback) * ('discrete' not in feedback),
    fields='\n'.join(f'    {name} = {x!r}' for name, x in fields.items()),
  )
