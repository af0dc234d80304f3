"""Grouped-query attention, and the positions and masks of left-padded batches
and of rows packed with several texts.

What a position may attend to is a mask [b t s] or, where queries and keys are
of the same positions, types.Segments or a GroupMask: memory is linear in t.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from hybrid_latent.sharding import ambient_mesh, spec
from hybrid_latent.types import Segments

Implementation = Literal[
  'xla', 'xla_chunked', 'cudnn', 'splash', 'splash_interpret'
]
# Scores per head that are in memory at a time; as many as of 1024 positions.
CHUNK = 1024**2
# Queries and keys of a block of the splash kernel.
BLOCK = 512


class GroupMask(NamedTuple):
  """Rows [prompt | completion | ... | completion], in which each completion
  attends to the prompt and to itself; False on the padding."""

  prompt: Bool[Array, 'b p']
  completions: Bool[Array, 'b g c']


def attention(
  q: Float[Array, 'b n t h'],
  k: Float[Array, 'b k s h'],
  v: Float[Array, 'b k s h'],
  mask: Bool[Array, 'b t s'] | Segments | GroupMask,
  *,
  prompt: tuple[Float[Array, 'u k p h'], Float[Array, 'u k p h']] | None = None,
  implementation: str | None = None,
) -> Float[Array, 'b n t h']:
  """softmax(q k^T / sqrt(h)) v with n / k query heads per key head; the softmax
  is float32.

  Args:
    mask: see above. With a mask [b t s], any `implementation` but 'cudnn' is
      'xla'.
    prompt: keys and values of the first slots of the mask, each of a group of
      b / u rows; k and v are of the others. The implementation is then 'xla'.
    implementation: 'xla' has all scores [b n t s] in memory; 'xla_chunked' the
      scores of some queries at a time; 'cudnn' is NVIDIA's fused kernel (16
      bits); 'splash' the fused kernel for TPUs of jax, 'splash_interpret' the
      same in Python. None is 'xla' for short rows, else 'xla_chunked'. With a
      GroupMask the fused kernels are 'xla_chunked'.
  """
  if implementation not in (None, *get_args(Implementation)):
    raise ValueError(
      f'attention implementation {implementation!r}: write one of '
      f'{get_args(Implementation)}, or None'
    )
  if prompt is not None:
    return _after_prompt(q, k, v, mask, prompt)
  if isinstance(mask, GroupMask):
    return _group(q, k, v, mask, implementation)
  if implementation == 'cudnn':
    return _cudnn(q, k, v, mask)
  if mask.ndim == 3:
    return _xla(q, k, v, mask)
  if implementation in (None, 'xla', 'xla_chunked'):
    chunks = _chunks(q.shape[2], k.shape[2], implementation)
    if chunks == 1:
      return _xla(q, k, v, causal_mask(mask))
    return _xla_chunked(q, k, v, mask, chunks)
  return _splash(q, k, v, mask, implementation == 'splash_interpret')


def _xla(q, k, v, mask):
  """The reference. Heads come before slots, so that both products are plain
  batched matmuls on the cache without a transpose."""
  b, n, t, h = q.shape
  heads = k.shape[1]
  # Scaled before the product: h multiplications per query instead of s. Query
  # heads are grouped by key head, so keys and values are not repeated.
  q = (q * (1 / math.sqrt(h))).reshape(b, heads, n // heads, t, h)
  scores = jnp.einsum(
    'bkgth,bksh->bkgts', q, k, preferred_element_type=jnp.float32
  )
  # Finite, so that a fully masked row gives a uniform softmax, not NaN.
  scores = jnp.where(mask[:, None, None], scores, jnp.finfo(scores.dtype).min)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  return jnp.einsum('bkgts,bksh->bkgth', weights, v).reshape(b, n, t, h)


def _xla_chunked(q, k, v, segments, chunks):
  """The reference over chunks of the queries. The future of a chunk is computed
  and masked."""
  t = q.shape[2]
  k, v, narrow = _summed_in_float32(k, v)

  def chunk(q, ids, at):
    past = at[None, :, None] >= jnp.arange(t)[None, None]
    mask = past & (ids[:, :, None] == segments[:, None])
    return _xla(q, narrow(k), narrow(v), mask)

  parts = (q, 2), (segments, 1), (jnp.arange(t), 0)
  return _over_queries(chunk, parts, 2, chunks)


def _after_prompt(q, k, v, mask, prompt):
  """The reference, where the queries of a group are the rows of one product
  with the keys of its prompt."""
  (b, n, t, h), (u, heads, p, _) = q.shape, prompt[0].shape
  dot = partial(jnp.einsum, preferred_element_type=jnp.float32)

  def with_prompt(equation, x, of_prompt):
    """The product of x [b k r .] as [u k g*r .] with what is [u k p h]: with
    more dimensions XLA:CPU copies a cache in order to transpose it."""
    x = jnp.swapaxes(x.reshape(u, -1, *x.shape[1:]), 1, 2)
    y = dot(equation, x.reshape(u, heads, -1, x.shape[-1]), of_prompt)
    y = y.reshape(u, heads, b // u, -1, y.shape[-1])
    return jnp.swapaxes(y, 1, 2).reshape(b, heads, -1, y.shape[-1])

  scored, weighted = 'bkrh,bksh->bkrs', 'bkrs,bksh->bkrh'
  q = (q * (1 / math.sqrt(h))).reshape(b, heads, -1, h)
  scores = with_prompt(scored, q, prompt[0]), dot(scored, q, k)
  scores = jnp.concatenate(scores, axis=-1)
  mask = jnp.tile(mask, (1, n // heads, 1))[:, None]
  scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  y = with_prompt(weighted, weights[..., :p], prompt[1])
  y += dot(weighted, weights[..., p:], v)
  return y.astype(v.dtype).reshape(b, n, t, h)


def _group(q, k, v, mask, implementation):
  """Attention of a prompt and its completions, whose keys and values of the
  prompt are not repeated, and without scores between two completions."""
  (b, g, t), p = mask.completions.shape, mask.prompt.shape[1]
  prompt = lambda x: x[:, :, :p]
  at = prompt(q), prompt(k), prompt(v), mask.prompt
  of_prompt = attention(*at, implementation=implementation)

  def rows(x):
    """[b n p+g*t h] -> [b*g n t h], of the completions."""
    x = x[:, :, p:].reshape(*x.shape[:2], g, t, -1)
    return jnp.swapaxes(x, 1, 2).reshape(b * g, -1, t, x.shape[-1])

  keys, values, narrow = _summed_in_float32(
    (prompt(k), rows(k)), (prompt(v), rows(v))
  )
  before = jnp.repeat(mask.prompt, g, axis=0)
  own = mask.completions.reshape(b * g, t)

  def chunk(q, ids, at):
    same = lambda others: ids[:, :, None] == others[:, None]
    past = at[None, :, None] >= jnp.arange(t)[None, None]
    mask = jnp.concatenate([same(before), past & same(own)], axis=-1)
    before_k, k, before_v, v = map(narrow, (*keys, *values))
    return _after_prompt(q, k, v, mask, (before_k, before_v))

  parts = (rows(q), 2), (own, 1), (jnp.arange(t), 0)
  y = _over_queries(chunk, parts, 2, _chunks(t, p + t, implementation))
  y = jnp.swapaxes(y.reshape(b, g, *y.shape[1:]), 1, 2)
  return jnp.concatenate([of_prompt, y.reshape(b, -1, g * t, y.shape[-1])], 2)


def _chunks(queries, keys, implementation):
  """Into how many chunks the queries are divided."""
  return 1 if implementation == 'xla' else -(-queries * keys // CHUNK)


def _over_queries(
  f: Callable, parts: tuple, out_axis: int, chunks: int
) -> Float[Array, '...']:
  """f of the arrays of `parts`, each with its axis of queries, over chunks of
  these, whose scores the backward pass computes again (Rabe and Staats, arXiv
  2112.05682, which also has chunks of the keys)."""
  if chunks == 1:
    return f(*(x for x, _ in parts))
  t = parts[0][0].shape[parts[0][1]]

  def split(x, axis):
    # A chunk has every `chunks`-th query, so that where positions are sharded,
    # each device has its part of every chunk.
    padding = [(0, 0)] * x.ndim
    padding[axis] = 0, -t % chunks
    shape = *x.shape[:axis], -1, chunks, *x.shape[axis + 1 :]
    return jnp.moveaxis(jnp.pad(x, padding).reshape(shape), axis + 1, 0)

  run = jax.checkpoint(lambda arrays: f(*arrays))
  out = jax.lax.map(run, tuple(split(*part) for part in parts))
  out = jnp.moveaxis(out, 0, out_axis + 1)
  shape = *out.shape[:out_axis], -1, *out.shape[out_axis + 2 :]
  return jax.lax.slice_in_dim(out.reshape(shape), 0, t, axis=out_axis)


def _summed_in_float32(k, v):
  """Keys and values, and what makes them those of the products: so their
  gradients, sums over the chunks of queries, are float32."""
  dtype = jax.tree.leaves(k)[0].dtype
  wide = jax.tree.map(lambda x: x.astype(jnp.float32), (k, v))
  return *wide, lambda x: x.astype(dtype)


def _cudnn(q, k, v, mask, implementation='cudnn'):
  """jax.nn.dot_product_attention: with a length per row for left-padded rows;
  for packed ones with a mask, which cuDNN reads as a bias [b t t] in q's dtype,
  as jax gives it no segments."""
  q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q, k, v))
  fused: Any = jax.nn.dot_product_attention
  if mask.ndim == 3 or mask.dtype != bool:
    mask = mask if mask.ndim == 3 else causal_mask(mask)
    out = fused(q, k, v, mask=mask[:, None], implementation=implementation)
    return jnp.swapaxes(out, 1, 2)
  # Real positions first, in their order, as lengths count from the first.
  order = jnp.argsort(~mask, axis=1, stable=True)
  at = jax.vmap(lambda x, i: x.at[i].get(unique_indices=True))
  length = mask.sum(1, dtype=jnp.int32)
  out = fused(
    *(at(x, order) for x in (q, k, v)),
    is_causal=True,
    query_seq_lengths=length,
    key_value_seq_lengths=length,
    implementation=implementation,
  )
  out = jnp.where(mask[..., None, None], at(out, jnp.argsort(order)), 0)
  return jnp.swapaxes(out, 1, 2)


def _splash(q, k, v, segments, interpret=False):
  """jax's kernel for TPUs, on each device for its rows, heads and queries."""
  from jax.experimental.pallas.ops.tpu import splash_attention as splash

  t, mesh = q.shape[2], ambient_mesh()
  shards = mesh.shape['sequence'] if mesh else 1
  # Positions in whole blocks on each device.
  block = min(BLOCK, 128 * -(-t // (128 * shards)))
  pad = -t % (block * shards)
  grow = lambda x: jnp.pad(x, ((0, 0), (0, 0), (0, pad), (0, 0)))
  q, k, v = grow(q * (1 / math.sqrt(q.shape[3]))), grow(k), grow(v)
  ids = jnp.pad(segments.astype(jnp.int32), ((0, 0), (0, pad)))
  sizes: Any = splash.BlockSizes
  make = partial(
    splash.make_splash_mha,
    splash.MultiHeadMask([splash.CausalMask((t + pad,) * 2)] * q.shape[1]),
    block_sizes=sizes(*8 * (block,)),
    q_seq_shards=shards,
    interpret=interpret,
  )

  def local(kernel, q, k, v, *ids) -> Any:
    return jax.vmap(kernel)(q, k, v, splash.SegmentIds(*ids))

  if mesh is None:
    return local(make(head_shards=1), q, k, v, ids, ids)[:, :, :t]
  # XLA does not partition a kernel. Query heads stay with their key head.
  rows, heads, *_ = key_spec = spec('b k . h', k.shape, mesh)
  kernel = make(head_shards=mesh.shape[heads] if heads else 1)
  place = NamedSharding(mesh, PartitionSpec(heads, 'sequence'))
  query_spec = PartitionSpec(rows, heads, 'sequence')
  sharded = jax.shard_map(
    local,
    in_specs=(
      kernel.manual_sharding_spec(place),
      *(query_spec, key_spec, key_spec),
      *(PartitionSpec(rows, 'sequence'), PartitionSpec(rows)),
    ),
    out_specs=query_spec,
    check_vma=False,
  )
  return sharded(kernel, q, k, v, ids, ids)[:, :, :t]


def positions(mask: Bool[Array, 'b t']) -> Int[Array, 'b t']:
  """Positions that count real tokens only: 0 at the first of each row, and on
  the padding before it."""
  return jnp.maximum(jnp.cumsum(mask, axis=-1, dtype=jnp.int32) - 1, 0)


def segment_positions(segments: Int[Array, 'b t']) -> Int[Array, 'b t']:
  """0 at the first position of each segment, a run of equal numbers."""
  index = jnp.broadcast_to(jnp.arange(segments.shape[1]), segments.shape)
  starts = segments != jnp.roll(segments, 1, axis=1)
  first = jnp.where(starts, index, 0)
  return index - jax.lax.cummax(first, axis=1)


def causal_mask(segments: Segments) -> Bool[Array, 'b t t']:
  """Each position attends to itself and those before it in its segment. Itself
  included, the softmax of a padding position is finite."""
  t = segments.shape[1]
  past = jnp.tril(jnp.ones((t, t), bool))[None]
  return past & (segments[:, :, None] == segments[:, None, :])
