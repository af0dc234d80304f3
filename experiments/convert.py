"""Converts a model to a Hugging Face folder and verifies the result.

    python -m experiments.convert --from=smollm2-135m --to=DIR --check

--from is a .gguf file, a Hugging Face folder, a name on the hub or a preset;
--to becomes a Hugging Face folder: safetensors, config, tokenizer, chat
template. The folder appears whole or not at all, and only if the parameters
read back from it are bit-equal. --check prints the largest difference between
our logits and those of transformers' torch model, of the source and of the
folder.
"""

from .fields.accepted import Folder
from .training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('convert', __doc__)
  add = parser.add_argument
  add(
    '--from',
    dest='source',
    required=True,
    type=cli.value(Folder),
    help='a preset, a .gguf file, a folder, or a name on the hub',
  )
  add('--to', required=True, type=cli.value(Folder), help='folder to write')
  dtypes = ('float32', 'bfloat16', 'float16')
  add('--dtype', default='float32', choices=dtypes, help='of the parameters')
  add('--overwrite', action='store_true', help='replace the folder --to')
  add('--check', action='store_true', help='compare the logits with torch')
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hybrid_latent.formats.export import new_folder, write_folder
from hybrid_latent.formats.huggingface import folder_tensors
from hybrid_latent.formats.pretrained import Pretrained, local_path, pretrained
from hybrid_latent.formats.weights import tensors_of
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.ops.attention import causal_mask, positions

from .training.torch_model import torch_model

PROMPT = 'Natalia sold 48 clips in April and half as many in May. In all, she'


@cli.report_errors()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; see the top of this file."""
  parser = _parser()
  args = parser.parse_args(argv)
  if args.check and importlib.util.find_spec('torch') is None:
    parser.error('--check compares with torch: pip install torch')
  with new_folder(args.to, overwrite=args.overwrite) as folder:
    ported = pretrained(args.source, param_dtype=args.dtype)
    write_folder(ported, folder)
    different = unequal_tensors(ported.model, folder)
    if different:
      raise RuntimeError(
        f'parity: {len(different)} tensors read back from {folder} differ, '
        f'among them {different[:5]}: nothing was written to {args.to}'
      )
    print('parity: the re-imported export is bit-equal')
    if args.check:
      for name, path in [
        (args.source, local_path(args.source)),
        ('the export', folder),
      ]:
        gap = logit_gap(ported, path)
        print(f'parity: max |logit difference| to torch, {name}: {gap:.2e}')
  config = ported.model.config
  count = sum(x.size for x in jax.tree.leaves(ported.model))
  print(
    f'wrote {args.to}: {config.family}, {config.layers} layers, {count:,} '
    f'parameters in {args.dtype}; it is a MODEL for any config'
  )


def unequal_tensors(model: Transformer, folder: Path) -> list[str]:
  """Names of the tensors whose bits in `folder` differ from those of the
  model."""
  ours, theirs = tensors_of(model), folder_tensors(folder)
  bits = lambda tensor: tensor.read().tobytes()
  return sorted(ours.keys() ^ theirs.keys()) + [
    name
    for name in ours.keys() & theirs.keys()
    if bits(ours[name]) != bits(theirs[name])
  ]


def logit_gap(ported: Pretrained, path: Path) -> float:
  """The largest |difference| of a logit between our model and the torch model
  that transformers builds from a folder or a GGUF file, both in float32."""
  tokens = _prompt_tokens(ported)
  ours = _logits(ported.model, jnp.asarray(tokens))
  theirs = _torch_logits(path, tokens)
  return float(np.abs(np.asarray(ours) - theirs).max())


def _prompt_tokens(ported: Pretrained) -> np.ndarray:
  if ported.tokenizer is None:
    return np.arange(32)[None] % ported.model.config.vocab
  return np.asarray(ported.tokenizer.encode(PROMPT))[None]


@jax.jit
def _logits(model: Transformer, tokens) -> Float[jax.Array, 'b t v']:
  mask = jnp.ones(tokens.shape, bool)
  x, _ = model.forward(
    model.embed(tokens), None, positions(mask), causal_mask(mask)
  )
  return model.unembed(x)


def _torch_logits(path: Path, tokens: np.ndarray) -> np.ndarray:
  import torch

  model = torch_model(path, 'float32', attn_implementation='eager')
  with torch.no_grad():
    return model(torch.from_numpy(tokens)).logits.numpy()


if __name__ == '__main__':
  main()
