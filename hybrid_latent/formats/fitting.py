"""Checks that the tensors of a file fit its config."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np

from hybrid_latent.formats.files import Tensor
from hybrid_latent.formats.weights import LISTED, shapes, tensor_name
from hybrid_latent.models.transformer import TransformerConfig
from hybrid_latent.trees import named_leaves

TABLE = 'model.embed_tokens.weight'


def fitted(
  config: TransformerConfig, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
  """The tensors under Hugging Face's names. ValueError that lists the missing,
  extra and misshapen ones, before any is read."""
  tensors = _named_as_released(tensors)
  _check(config, tensors)
  return tensors


def _named_as_released(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
  """Drops buffers; adds 'model.' where the class without a head was saved, as
  for Qwen3-Embedding."""
  tensors = {
    name: tensor
    for name, tensor in tensors.items()
    if not name.endswith('.rotary_emb.inv_freq')
  }
  if 'embed_tokens.weight' in tensors:
    return {f'model.{name}': tensor for name, tensor in tensors.items()}
  return tensors


def _check(config, tensors):
  """ValueError unless the names and shapes are those of the config."""
  # Names are formatted lazily: a corrupt config may claim 10^9 layers, and
  # memory must not grow with its numbers.
  expected = {}  # Hugging Face's name with {} -> number of layers, and shape
  for name, leaf in named_leaves(shapes(config)).items():
    stacked = name.startswith('layers.')
    shape = leaf.shape[1:] if stacked else leaf.shape
    count = config.layers if stacked else 1
    expected[tensor_name(config, name)] = count, shape
  known = {}
  for key in tensors:
    # Bounded: int() fails for text of thousands of digits.
    number = re.search(r'\.(\d{1,10})\.', key)
    kind = key.replace(number[0], '.{}.', 1) if number else key
    i = int(number[1]) if number else 0
    count, shape = expected.get(kind, (0, ()))
    if i < count and kind.format(i) == key:
      known[key] = shape
  extra = sorted(tensors.keys() - known.keys())
  if config.tied and 'lm_head.weight' in extra:
    extra.remove('lm_head.weight')
    _check_tied(tensors)
  missing = (
    f'{name} {[*shape]}'
    for kind, (count, shape) in expected.items()
    for name in map(kind.format, range(count))
    if name not in known
  )
  num_missing = sum(count for count, _ in expected.values()) - len(known)
  got = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
  wrong = [
    f'{k}: got {[*got[k]]}, expected {[*shape]}'
    for k, shape in known.items()
    if got[k] != shape
  ]
  lines = [
    *_listing('missing', missing, num_missing),
    *_listing('extra', (f'{k} {[*got[k]]}' for k in extra), len(extra)),
    *_listing('misshapen', iter(wrong), len(wrong)),
  ]
  if 'lm_head.weight' in expected and 'lm_head.weight' not in got:
    lines.append(
      'tie_word_embeddings = False: write true if the embedding is the head'
    )
  if lines:
    model = f'{config.family}, {config.layers} layers'
    raise ValueError(
      '\n  '.join([f'the tensors do not fit the config ({model}):', *lines])
    )


def _listing(sort: str, entries: Iterator[str], count: int) -> list[str]:
  rest = count - LISTED
  more = [f'{sort}: and {rest} more'] if rest > 0 else []
  return [f'{sort}: {entry}' for entry in islice(entries, LISTED)] + more


def _check_tied(tensors: Mapping[str, Tensor]) -> None:
  """ValueError where a tied file has a head that differs from the embedding."""
  head, table = tensors['lm_head.weight'], tensors.get(TABLE)
  if table is None:
    return  # it is listed as missing
  if head.shape != table.shape or not np.array_equal(head.read(), table.read()):
    raise ValueError(
      'tie_word_embeddings = True, but lm_head.weight differs from '
      'model.embed_tokens.weight: write false to use it'
    )
