"""Tokens of a method's own, such as '<latent>', in tokenizer and model."""

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

MULTIPLE = 64  # a table grows to a multiple of this: matmuls like it


def with_tokens(
  source: Pretrained, tokens: Sequence[str], like: str = ''
) -> Pretrained:
  """`source` with each of `tokens` as one token, which shows in decoded text.

  Tokens that the tokenizer has are left alone, so that a model written with
  them and read again comes back as it is. The others get a row of the embedding
  and of an untied head: the mean of the rows that the tokenizer used so far, or
  a copy of that of the token `like`. Spare rows (Qwen2.5 has 271) are used
  first; then the tables grow, in their sharding. The caller's model and
  tokenizer stay as they are.

  Raises ValueError for a token that is empty or that the tokenizer has and the
  model has not, and where `like` is not one.
  """
  tokenizer: Any = source.tokenizer
  if '' in tokens:
    raise ValueError(f'tokens = {list(tokens)}: accepted are texts, not empty')
  had, rows = tokenizer.get_vocab(), source.model.config.vocab
  if lost := [text for text in tokens if had.get(text, 0) >= rows]:
    raise ValueError(
      f'tokens = {lost}: the tokenizer has them, and the embedding of {rows} '
      'has no row for them: accepted is a tokenizer that fits its model'
    )
  new = [text for text in dict.fromkeys(tokens) if text not in had]
  if not new:
    return source
  alike = _one_token(tokenizer, like) if like else None
  tokenizer = copy.deepcopy(tokenizer)
  tokenizer.add_tokens(
    [AddedToken(text, special=False, normalized=False) for text in new]
  )
  now = tokenizer.get_vocab()
  ids = [now[text] for text in new]
  if taken := sorted(set(ids) & set(had.values())):
    raise ValueError(
      f'tokenizer: the ids {taken} would stand for two tokens each, as there '
      'are unused ids below them: accepted is a tokenizer without such gaps'
    )
  used = [i for i in had.values() if i < rows]
  model = _with_rows(source.model, used, ids, alike)
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
  """The model with rows for `ids`, and a table that has them."""
  table = model.table
  rows = len(table)
  if max(ids) >= rows:
    # Else a mesh that cuts the table evenly might not cut the longer one.
    shards = rows // table.sharding.shard_shape(table.shape)[0]
    multiple = lcm(MULTIPLE, shards)
    rows = -(-(max(ids) + 1) // multiple) * multiple
  used = np.zeros(len(table), bool)
  used[old] = True
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
  """The table with `rows` rows. Padding rows get the mean as well: a row of
  zeros would be a token of logit 0, which may well be a high one."""
  mean = jnp.mean(table, 0, jnp.float32, where=used[:, None])
  mean = mean.astype(table.dtype)
  more = jnp.broadcast_to(mean, (rows - len(table), len(mean)))
  row = mean if like is None else table[like]
  return jnp.concatenate([table, more]).at[ids].set(row)
