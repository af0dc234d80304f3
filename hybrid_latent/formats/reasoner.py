"""Reads the folder of a reasoner: config.json has its sizes and those of its
backbone, model.safetensors its parameters by name, with the tokens that follow
its latents. The policy, whose inputs the latents are, is not in it."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from hybrid_latent.formats.export_reasoner import KIND
from hybrid_latent.formats.files import reading
from hybrid_latent.formats.parsed import FLOATS, file_tensors, read_json
from hybrid_latent.formats.pretrained import FILE
from hybrid_latent.formats.weights import finite, unlike
from hybrid_latent.models.config import whole_number
from hybrid_latent.models.families import from_huggingface
from hybrid_latent.models.reasoner import READS, Prefix, Reasoner
from hybrid_latent.models.transformer import Transformer, TransformerConfig
from hybrid_latent.trees import map_named, named_leaves


def new_prefix(
  key: Key[Array, ''],
  policy: Any,
  tokenizer: Any,
  backbone: Transformer,
  *,
  latents: int,
  reads: str,
  closing: str,
) -> Prefix:
  """A new reasoner; its latents have the RMS of the policy's embeddings."""
  table = policy.table.astype(jnp.float32)
  reasoner = Reasoner(
    key,
    backbone,
    width=table.shape[1],
    latents=latents,
    reads=reads,
    length=jnp.sqrt(jnp.mean(table**2)),
  )
  ids = tokenizer(closing, add_special_tokens=False)['input_ids']
  return Prefix(reasoner, jnp.array(ids, jnp.int32))


def read_reasoner(
  folder: str | Path, *, width: int, **execution: Any
) -> Prefix:
  """The reasoner that `write_reasoner` wrote, for a policy of this width;
  `execution` as in TransformerConfig.
  ValueError for another width, and for files that do not fit each other."""
  folder = Path(folder).expanduser()
  backbone, fields = read_fields(folder)
  if fields['width'] != width:
    raise ValueError(
      f'{folder} has latents of {fields["width"]} channels and the model '
      f'embeddings of {width}: accepted is the reasoner of this model'
    )
  backbone = dataclasses.replace(backbone, **execution)
  # The structure without the arrays: parameters come from the file.
  shapes = jax.eval_shape(partial(_empty, backbone, fields), jax.random.key(0))
  tensors = file_tensors(folder / FILE, (*FLOATS, 'I32'))
  if wrong := unlike(tensors, named_leaves(shapes)):
    raise ValueError(f'{folder / FILE} does not fit config.json: {wrong}')

  def array(name, leaf):
    stored = finite(tensors[name].read(), name, tensors[name].file)
    # Float parameters may have any float dtype; token ids have to be int32.
    if np.issubdtype(stored.dtype, np.integer) != (leaf.dtype == jnp.int32):
      raise ValueError(
        f'{folder / FILE}: {name} has dtype {stored.dtype}: '
        f'accepted is {leaf.dtype}'
      )
    return jnp.asarray(stored)

  return map_named(array, shapes)


def read_fields(folder: Path) -> tuple[TransformerConfig, dict[str, Any]]:
  """The config of a reasoner's backbone, and the fields of its config.json."""
  file = folder / 'config.json'
  if not file.exists():
    raise FileNotFoundError(
      f'{folder} has no config.json: accepted is the folder of a reasoner, '
      'which experiments.lrt writes to WORKDIR/reasoner'
    )
  fields = read_json(file)
  with reading(file):
    if fields.get('model_type') != KIND:
      raise ValueError(
        f'model_type = {fields.get("model_type")!r:.80}: accepted is {KIND!r}; '
        'a model is what config.model.source and '
        'config.feedback.init_kwargs.backbone name'
      )
    if not isinstance(fields.get('backbone'), dict):
      raise ValueError(
        f'backbone = {fields.get("backbone")!r:.80}: accepted is an object, '
        "the config.json of the reasoner's decoder"
      )
    for name in 'width', 'latents', 'closing':
      fields[name] = whole_number(fields, name)
    if fields.get('reads') not in READS:
      raise ValueError(
        f'reads = {fields.get("reads")!r:.80}: accepted is one of {READS}'
      )
    return from_huggingface(fields['backbone']), fields


def _empty(config: TransformerConfig, fields: Mapping, key) -> Prefix:
  sizes = {name: fields[name] for name in ('width', 'latents', 'reads')}
  reasoner = Reasoner(key, Transformer(config, key), **sizes)
  return Prefix(reasoner, jnp.zeros(fields['closing'], jnp.int32))
