"""Adds a method's tokens, such as '<latent>', to tokenizer and model."""

import copy
import dataclasses
from collections.abc import Sequence
from functools import partial
from math import lcm
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int
from tokenizers import AddedToken

from hybrid_latent.formats.pretrained import Pretrained
from hybrid_latent.formats.tokenizer import Tokenizer

MULTIPLE = 64  # of rows in a grown table, for the tiles of matmuls


def with_tokens(
  source: Pretrained, tokens: Sequence[str], like: str = ''
) -> Pretrained:
  """`source` with each of `tokens` as one token, which remains in decoded text.

  Tokens that the tokenizer already has are unchanged, so that a model written
  with them is read back as it was. New ones have a row in the embedding and in
  an untied head: the mean over the rows of the tokenizer's tokens, or a copy of
  the row of the token `like`. Spare rows (Qwen2.5 has 271) are used first; then
  the tables grow, in their sharding. The caller's model and tokenizer are not
  changed.

  Raises ValueError for an empty token, for one that is in the tokenizer but has
  no row in the model, and where `like` is not one token.
  """
  tokenizer: Any = source.tokenizer
  if '' in tokens:
    raise ValueError(f'tokens = {list(tokens)}: accepted are texts, not empty')
  vocabulary, rows = tokenizer.get_vocab(), source.model.config.vocab
  if outside := [text for text in tokens if vocabulary.get(text, 0) >= rows]:
    raise ValueError(
      f'tokens = {outside}: the tokenizer has them, and the embedding of '
      f'{rows} has no row for them: accepted is a tokenizer that fits its model'
    )
  new = [text for text in dict.fromkeys(tokens) if text not in vocabulary]
  if not new:
    return source
  like_id = _one_token(tokenizer, like) if like else None
  tokenizer = copy.deepcopy(tokenizer)
  tokenizer.add_tokens(
    [AddedToken(text, special=False, normalized=False) for text in new]
  )
  extended = tokenizer.get_vocab()
  ids = [extended[text] for text in new]
  # Added ids begin at the size of the vocabulary, which unused ids lower.
  if taken := sorted(set(ids) & set(vocabulary.values())):
    raise ValueError(
      f'tokenizer: the ids {taken} would stand for two tokens each, as there '
      'are unused ids below them: accepted is a tokenizer without such gaps'
    )
  used = [i for i in vocabulary.values() if i < rows]
  model = _with_rows(source.model, used, ids, like_id)
  return source._replace(model=model, tokenizer=tokenizer)


def _one_token(tokenizer: Tokenizer, text: str) -> int:
  ids = tokenizer(text, add_special_tokens=False)['input_ids']
  if len(ids) != 1:
    pieces = tokenizer.convert_ids_to_tokens(ids)
    raise ValueError(
      f'like = {text!r}, which is {pieces}: accepted is the text of one token'
    )
  return ids[0]


def _with_rows(model, old: list[int], ids: list[int], like: int | None):
  """The model with rows for `ids`, in tables that have grown where needed."""
  table = model.table
  rows = len(table)
  if max(ids) >= rows:
    # The new size has to be divisible by the number of shards.
    shards = rows // table.sharding.shard_shape(table.shape)[0]
    multiple = lcm(MULTIPLE, shards)
    rows = -(-(max(ids) + 1) // multiple) * multiple
  used = np.zeros(len(table), bool)
  used[old] = True
  # The output sharding keeps that of the old table.
  grown = lambda param: nnx.Param(
    jax.jit(
      partial(_grown, like=like, rows=rows),
      out_shardings=param[...].sharding if param[...].committed else None,
    )(param[...], used, np.array(ids))
  )
  model = jax.tree.map(lambda x: x, model)  # the caller keeps its own
  model.config = dataclasses.replace(model.config, vocab=rows)
  model.layers.config = model.config
  model.embedding = grown(model.embedding)
  if model.head is not None:
    model.head = nnx.data(grown(model.head))
  return model


def _grown(
  table: Float[Array, 'v d'],
  used: Bool[Array, 'v'],
  ids: Int[Array, 'n'],
  *,
  like: int | None,
  rows: int,
) -> Float[Array, 'w d']:
  """The table with `rows` rows. Padding rows are the mean, too: a row of zeros
  has logit 0, which may be among the highest."""
  mean = jnp.mean(table, 0, jnp.float32, where=used[:, None])
  mean = mean.astype(table.dtype)
  more = jnp.broadcast_to(mean, (rows - len(table), len(mean)))
  row = mean if like is None else table[like]
  return jnp.concatenate([table, more]).at[ids].set(row)
