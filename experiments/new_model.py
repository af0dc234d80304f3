r"""A small Qwen3-shaped model with random weights, and the tokenizer of a task.

    python -m experiments.new_model --to=runs/start \
        --tokenizer=prosqa:tokenizer [--seed=0] [--width=96] [--layers=3] ...

Writes a Hugging Face folder, which must not exist; it can be the MODEL of any
config. The tokenizer is made by a function of hybrid_latent/data,
arithmetic:tokenizer, arithmetic:thinking_tokenizer, prosqa:tokenizer or
states:tokenizer, or of a module of your own; the vocabulary is its size rounded
up to a multiple of 64.
"""

from pathlib import Path
from typing import Any

from hybrid_latent.ranges import NonNegativeInt, PositiveInt

from .fields.accepted import Folder, Text
from .training import cli

SIZES: dict[str, Any] = dict(
  width=96, layers=3, heads=3, kv_heads=1, head_dim=32, mlp=288,
  max_positions=4096,
)  # fmt: skip


def _parser() -> cli.Parser:
  parser = cli.Parser('new_model', __doc__)
  add = parser.add_argument
  add('--to', required=True, type=cli.value(Folder), help='folder to write')
  add(
    '--tokenizer',
    required=True,
    type=cli.value(Text),
    help='MODULE:FUNCTION',
  )
  add(
    '--seed',
    type=cli.value(NonNegativeInt),
    default=0,
    help='of the weights',
  )
  for name, size in SIZES.items():
    about = f'default: {size}'
    add(f'--{name}', type=cli.value(PositiveInt), default=size, help=about)
  return parser


def _check_folder(to: Path) -> None:
  if to.exists():
    raise FileExistsError(f'--to: {to} exists: write elsewhere')


if __name__ == '__main__':  # before the imports: --help takes a second
  FLAGS = _parser().parse_args()
  with cli.report_errors():
    _check_folder(Path(FLAGS.to))

from dataclasses import replace

import jax
from absl import logging

from hybrid_latent.formats.export import new_folder, write_folder
from hybrid_latent.formats.pretrained import Pretrained
from hybrid_latent.models.families import from_huggingface, to_huggingface
from hybrid_latent.models.transformer import Transformer, TransformerConfig

from .fields.named import named

SMALL = TransformerConfig(
  family='qwen3',
  vocab=384,
  rope_theta=10_000.0,
  qk_norm=True,
  **SIZES,
)


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  _check_folder(Path(flags.to))
  logging.set_verbosity(logging.WARNING)
  tokenizer: Any = named(flags.tokenizer, 'hybrid_latent.data')()
  if not hasattr(tokenizer, 'eos_token_id'):
    raise ValueError(
      f'--tokenizer={flags.tokenizer} returns {tokenizer!r:.60}: write a '
      'function that returns a tokenizer, such as arithmetic:tokenizer'
    )
  sizes = {name: getattr(flags, name) for name in SIZES}
  vocab = -(-len(tokenizer) // 64) * 64
  config = replace(SMALL, vocab=vocab, **sizes)
  from_huggingface(to_huggingface(config))  # checks the sizes
  new_model(Path(flags.to), tokenizer, config, flags.seed)
  print(
    f'wrote {flags.to}: {config.layers} layers of random weights and '
    f'{len(tokenizer)} tokens; it is a MODEL for any config'
  )


def new_model(
  folder: Path,
  tokenizer: Any,
  config: TransformerConfig = SMALL,
  seed: int = 0,
) -> Path:
  """Writes a Hugging Face folder with random weights and a tokenizer."""
  model = Transformer(config, jax.random.key(seed))
  ends = {'eos_token_id': tokenizer.eos_token_id}
  with new_folder(folder, overwrite=True) as draft:
    write_folder(Pretrained(model, tokenizer, ends), draft)
  return folder


if __name__ == '__main__':
  main()
